"""The routes of Storage: which handler serves which address."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from worker.local.storage.access import Access
from worker.local.storage.buckets import Buckets
from worker.local.storage.downloads import Downloads
from worker.local.storage.errors import StorageError, answering
from worker.local.storage.files import Files
from worker.local.storage.objects import Objects
from worker.local.storage.resumable import Resumable
from worker.local.storage.rows import Rows
from worker.local.storage.uploads import Uploads

_ROOT: Final = "/storage/v1"
_KEY: Final = "{bucket}/{name:.+}"


def add_storage(application: web.Application, access: Access, files: Files) -> None:
    """Add Storage's endpoints to the gateway; the first route that fits an address serves it."""
    buckets, objects = Buckets(access, files), Objects(access, files)
    downloads, rows = Downloads(access, files), Rows(access, files)
    uploads, resumable = Uploads(access, files, rows), Resumable(files, rows)
    for method, address, handler in (
        ("GET", "/bucket", buckets.listed),
        ("POST", "/bucket", buckets.created),
        ("GET", "/bucket/{bucket}", buckets.shown),
        ("PUT", "/bucket/{bucket}", buckets.updated),
        ("DELETE", "/bucket/{bucket}", buckets.deleted),
        ("POST", "/bucket/{bucket}/empty", buckets.emptied),
        ("POST", "/object/list/{bucket}", objects.listed),
        ("POST", "/object/move", objects.moved),
        ("POST", "/object/copy", objects.copied),
        ("DELETE", "/object/{bucket}", objects.removed),
        ("POST", "/object/sign/{bucket}", downloads.sign_many),
        ("POST", f"/object/upload/sign/{_KEY}", uploads.sign),
        ("PUT", f"/object/upload/sign/{_KEY}", uploads.signed),
        ("POST", f"/object/sign/{_KEY}", downloads.sign),
        ("GET", f"/object/sign/{_KEY}", downloads.signed),
        ("GET", f"/object/info/authenticated/{_KEY}", downloads.info),
        ("GET", f"/object/info/{_KEY}", downloads.info),
        ("GET", f"/object/public/{_KEY}", downloads.public),
        ("GET", f"/object/authenticated/{_KEY}", downloads.download),
        ("GET", f"/object/{_KEY}", downloads.download),
        ("HEAD", f"/object/authenticated/{_KEY}", downloads.download),
        ("HEAD", f"/object/{_KEY}", downloads.download),
        ("POST", f"/object/{_KEY}", uploads.upload),
        ("PUT", f"/object/{_KEY}", uploads.update),
    ):
        application.router.add_route(method, _ROOT + address, answering(handler))
    for method, address, handler in (
        ("POST", "/upload/resumable", resumable.create),
        ("PATCH", "/upload/resumable/{upload}", resumable.append),
        ("HEAD", "/upload/resumable/{upload}", resumable.shown),
    ):
        application.router.add_route(
            method, _ROOT + address, answering(handler, StorageError.plain)
        )
