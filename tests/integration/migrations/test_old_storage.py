"""The migrations and their functions also run where Storage knows no versions of objects."""

from __future__ import annotations

import pytest

from tests.conftest import CreateDatabase
from tests.integration.databases import connected, execute, forget_versioning, rows
from tests.integration.migrating import apply
from worker.local.postgres import as_role

UPLOAD = """
insert into storage.objects (bucket_id, name, version, metadata)
values ('c3d-files', 'P005/a.c3d', 'v1', '{"size": 5}')
"""
COLUMNS = """
select column_name from information_schema.columns
where table_schema = 'storage' and table_name = 'objects'
  and column_name in ('archived_at', 'is_delete_marker')
"""


@pytest.mark.parametrize("storage", ["old", "new"])
async def test_an_upload_is_announced(blank_database: CreateDatabase, storage: str) -> None:
    url = await blank_database()
    if storage == "old":
        await forget_versioning(url)
    assert len(await rows(url, COLUMNS)) == (0 if storage == "old" else 2)
    await apply(url)
    await execute(as_role(url, "supabase_storage_admin"), UPLOAD)
    async with connected(url, role="service_role") as worker:
        await worker.execute("select public.announce_objects('c3d-files')")
    (upload,) = await rows(url, "select * from public.storage_intake")
    assert (upload["object_path"], upload["version"]) == ("P005/a.c3d", "v1")
    assert upload["size_bytes"] == 5
