"""The pictures of sessions: which are to be made or removed, and the bucket that holds them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import httpx
from storage3.exceptions import StorageApiError
from supabase import AsyncClient

from worker.backend import rest
from worker.backend.storage_errors import UPLOADING, answer_behind
from worker.errors import UnavailableError

PREVIEWS = "c3d-previews"  # the bucket
ENDING = ".png"
KEPT_SECONDS = "60"  # by a browser: a session that is read again gets another picture


class Lists(NamedTuple):
    """What is to be done."""

    wanted: list[WantedPreview]  # to be made
    orphaned: list[str]  # the names of pictures whose sessions were deleted: to be removed


@dataclass(frozen=True, slots=True)
class WantedPreview:
    """A session whose picture is to be made from a download."""

    session: UUID
    object_path: str  # of the recording in its bucket
    file_hash: str
    file_size_bytes: int


class Previews:
    """What is noted of the pictures, and the pictures."""

    def __init__(self, supabase: AsyncClient) -> None:
        """`supabase` has the service key."""
        self._supabase = supabase
        self._bucket = supabase.storage.from_(PREVIEWS)

    async def claim(self, recordings: str, *, most: int, lease_seconds: float) -> Lists:
        """Take pictures to be made, `most` at most, of recordings in the bucket `recordings`.

        Raises:
            UnavailableError: Supabase is in trouble.
        """
        arguments = {"bucket": recordings, "batch_size": most, "lease_seconds": lease_seconds}
        lists = Lists([], [])
        for row in await rest.rows(self._supabase.rpc("claim_previews", arguments)):
            if row["session"] is None:
                lists.orphaned.append(row["object_name"])
                continue
            session, path = UUID(row["session"]), row["object_path"]
            wanted = WantedPreview(session, path, row["file_hash"], row["file_size_bytes"])
            lists.wanted.append(wanted)
        return lists

    async def keep(self, session: UUID, picture: bytes) -> None:
        """Store the picture of a session, and note it; it goes if its session is gone meanwhile.

        Raises:
            BucketMissingError: there is no bucket for it.
            UploadRefusedError: Storage refuses the picture.
            UnavailableError: Supabase is in trouble.
        """
        name = f"{session}{ENDING}"
        with _sorted_errors(name):
            await self._bucket.upload(
                name,
                picture,
                {"content-type": "image/png", "cache-control": KEPT_SECONDS, "upsert": "true"},
            )
        if not await self._ended(session, None):
            await self._remove([name])

    async def note_failure(self, session: UUID, code: str) -> None:
        """Note why a session's picture could not be made; it is attempted again later.

        Raises:
            UnavailableError: Supabase is in trouble.
        """
        await self._ended(session, code)

    async def remove(self, orphaned: Sequence[str]) -> None:
        """Remove pictures whose sessions were deleted, and forget them.

        Raises:
            UnavailableError: Supabase is in trouble.
        """
        await self._remove(orphaned)
        await rest.value(self._supabase.rpc("forget_previews", {"removed": list(orphaned)}))

    async def _ended(self, session: UUID, code: str | None) -> bool:
        arguments = {"session": str(session), "error": code}
        return bool(await rest.value(self._supabase.rpc("end_preview", arguments)))

    async def _remove(self, names: Sequence[str]) -> None:
        """Remove pictures; one that is not there is no error."""
        with _sorted_errors(PREVIEWS):
            await self._bucket.remove(list(names))


@contextmanager
def _sorted_errors(path: str) -> Iterator[None]:
    try:
        yield
    except httpx.HTTPError as error:
        raise UnavailableError(f"Storage does not answer ({type(error).__name__}).") from error
    except StorageApiError as error:
        answer = answer_behind(error)
        raise answer.as_error(UPLOADING, bucket=PREVIEWS, path=path) from error
    except (KeyError, TypeError, ValueError) as error:
        raise UnavailableError("Storage answered something else than an object.") from error
