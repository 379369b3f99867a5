"""What Storage and the database refuse is told with its code and its cure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.integration.harness import Harness
from worker.backend import rest
from worker.backend.metadata_service import SESSIONS
from worker.backend.uploads import Uploads
from worker.errors import WorkerError

STRANGE = "P005/größe.c3d"  # Storage takes plain letters only


async def _upload(harness: Harness, file: Path, path: str = STRANGE) -> object:
    uploads = Uploads(harness.connection, harness.bucket)
    return await uploads.upload(path, file, lambda _: None)


async def _upload_twice(harness: Harness, file: Path) -> object:
    path = await harness.upload(b"somebody else's")
    return await _upload(harness, file, path)


async def _insert_twice(harness: Harness, _: Path) -> object:
    row = {
        "file_path": "a.c3d",
        "file_hash": "ab" * 32,
        "file_size_bytes": 10,
        "original_filename": "a.c3d",
    }
    table = harness.connection.supabase.table(SESSIONS)
    await rest.rows(table.insert(row))
    return await rest.rows(table.insert(row))


@pytest.mark.parametrize(
    ("provoke", "code"),
    [
        (_upload, "upload_refused"),
        (_upload_twice, "path_taken"),
        (_insert_twice, "rejected"),
    ],
)
async def test_a_refusal_says_its_code_and_its_cure(
    harness: Harness,
    tmp_path: Path,
    provoke: Callable[[Harness, Path], Awaitable[object]],
    code: str,
) -> None:
    file = tmp_path / "a.c3d"
    file.write_bytes(b"a recording")
    with pytest.raises(WorkerError) as caught:
        await provoke(harness, file)
    assert caught.value.code == code
    assert str(caught.value).endswith(caught.value.cure)
