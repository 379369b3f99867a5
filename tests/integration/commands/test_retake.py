"""`c3d-worker retake`: uploads taken in anew, by path, by id, or all of a kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.command_line import command
from tests.integration.harness import Harness
from tests.integration.uploads import (
    RECORDING,
    numbered,
    object_of,
    overwrite,
    register,
    sessions,
    sweep_of,
)
from worker.settings import DEFAULT_BUCKET

MANY = 2500  # more than two calls take
REFUSE = "update storage_intake set outcome = 'refused', session_id = null, detail = $2"
DRY, DONE = "would be taken in anew", "taken in anew within 30 s by a worker that is free"


async def refused(harness: Harness, path: str, content: bytes, code: str) -> str:
    """Upload, and have it refused by a worker of an older version."""
    await harness.upload(content, path)
    await sweep_of(harness).sweep()
    await harness.database.execute(f"{REFUSE} where object_path = $1", path, f"{code}: No.")
    await harness.database.execute(
        "delete from therapy_sessions where file_path = $1", path
    )  # it never had one
    return path


async def outcomes(harness: Harness) -> dict[str, str]:
    return {path: outcome for path, outcome, _ in await register(harness)}


async def test_an_upload_is_named_by_its_path_or_by_the_id_of_its_object(
    harness: Harness, tmp_path: Path
) -> None:
    by_path = await refused(harness, "P005/visit 2/a.c3d", numbered(1), "rejected")
    by_id = await refused(harness, "P005/b.c3d", numbered(2), "rejected")
    named = (by_path, str(await object_of(harness, by_id)))
    code, printed, complained = await command(
        harness.stack, tmp_path, "retake", *named, "--dry-run"
    )
    assert (code, complained) == (0, "")
    assert printed.splitlines() == [f"{each}: {DRY}" for each in named]
    assert set((await outcomes(harness)).values()) == {"refused"}
    code, printed, _ = await command(harness.stack, tmp_path, "retake", *named)
    assert code == 0
    assert printed.splitlines() == [f"{each}: {DONE}" for each in named]
    assert set((await outcomes(harness)).values()) == {"waiting"}
    assert await sweep_of(harness).sweep() == 2
    assert {row["file_path"] for row in await sessions(harness)} == {by_path, by_id}


async def test_refused_ones_are_taken_in_anew_and_nothing_else(
    harness: Harness, tmp_path: Path
) -> None:
    await harness.upload(numbered(0), "P005/good.c3d")
    await refused(harness, "P005/a.c3d", numbered(1), "rejected")
    await refused(harness, "P005/b.c3d", numbered(2), "size_mismatch")
    before = [row for row in await register(harness) if row[1] == "session"]
    arguments = ("retake", "--refused")
    _, printed, _ = await command(harness.stack, tmp_path, *arguments, "--dry-run")
    assert printed == f"2 refused uploads {DRY}.\n"
    assert list((await outcomes(harness)).values()).count("refused") == 2
    code, printed, _ = await command(harness.stack, tmp_path, *arguments)
    assert (code, printed) == (0, f"2 refused uploads {DONE}.\n")
    assert [row for row in await register(harness) if row[1] == "session"] == before
    assert await sweep_of(harness).sweep() == 2
    code, printed, _ = await command(harness.stack, tmp_path, *arguments)
    assert (code, printed) == (0, f"0 refused uploads {DONE}.\n")


async def test_a_code_picks_those_that_were_refused_for_it(
    harness: Harness, tmp_path: Path
) -> None:
    await refused(harness, "P005/a.c3d", numbered(1), "rejected")
    await refused(harness, "P005/b.c3d", numbered(2), "size_mismatch")
    arguments = ("retake", "--refused", "--code", "rejected")
    _, printed, _ = await command(harness.stack, tmp_path, *arguments, "--dry-run")
    assert printed == f"1 refused upload of rejected {DRY}.\n"
    assert set((await outcomes(harness)).values()) == {"refused"}
    _, printed, _ = await command(harness.stack, tmp_path, *arguments)
    assert printed == f"1 refused upload of rejected {DONE}.\n"
    assert await outcomes(harness) == {"P005/a.c3d": "waiting", "P005/b.c3d": "refused"}


async def test_a_code_that_nothing_has_is_a_mistake_and_a_known_one_is_none(
    harness: Harness, tmp_path: Path
) -> None:
    await refused(harness, "P005/a.c3d", numbered(1), "rejected")
    arguments = ("retake", "--refused", "--code")
    code, printed, complained = await command(harness.stack, tmp_path, *arguments, "rejecte")
    assert (code, printed) == (2, "")
    assert "Nothing to try again has the error code 'rejecte': is rejected" in complained
    code, printed, _ = await command(harness.stack, tmp_path, *arguments, "size_mismatch")
    assert (code, printed) == (0, f"0 refused uploads of size_mismatch {DONE}.\n")


async def test_what_was_refused_without_a_code_is_picked_as_unknown(
    harness: Harness, tmp_path: Path
) -> None:
    await refused(harness, "P005/a.c3d", numbered(1), "rejected")
    await refused(harness, "P005/b.c3d", numbered(2), "size_mismatch")
    await harness.database.execute(
        "update public.storage_intake set detail = 'A person wrote this.'"
        " where object_path = 'P005/a.c3d'"
    )
    arguments = ("retake", "--refused", "--code", "unknown")
    code, printed, _ = await command(harness.stack, tmp_path, *arguments)
    assert (code, printed) == (0, f"1 refused upload of unknown {DONE}.\n")
    assert await outcomes(harness) == {"P005/a.c3d": "waiting", "P005/b.c3d": "refused"}


async def test_all_that_are_there_are_taken_in_anew_and_find_their_sessions(
    harness: Harness, tmp_path: Path
) -> None:
    await harness.upload(RECORDING, "P005/a.c3d")
    await harness.upload(RECORDING, "P005/copy.c3d")
    await harness.upload(numbered(1), "P005/b.c3d")
    gone = await harness.upload(numbered(2), "P005/gone.c3d")
    await sweep_of(harness).sweep()
    await harness.connection.supabase.storage.from_(DEFAULT_BUCKET).remove([gone])
    before = {row["id"] for row in await sessions(harness)}
    _, printed, _ = await command(harness.stack, tmp_path, "retake", "--all", "--dry-run")
    assert printed == f"3 uploads {DRY}.\n"
    assert set((await outcomes(harness)).values()) == {"session", "duplicate"}
    code, printed, _ = await command(harness.stack, tmp_path, "retake", "--all")
    assert (code, printed) == (0, f"3 uploads {DONE}.\n")
    assert await sweep_of(harness).sweep() == 3
    assert {row["id"] for row in await sessions(harness)} == before
    assert sorted((await outcomes(harness)).values()) == ["duplicate", *["session"] * 3]


async def test_an_upload_that_was_put_off_is_due_at_once(harness: Harness, tmp_path: Path) -> None:
    await harness.database.execute(
        "insert into storage.objects (bucket_id, name, version) values ($1, 'P1/a.c3d', '1')",
        DEFAULT_BUCKET,
    )
    await sweep_of(harness).sweep()
    code, _, _ = await command(harness.stack, tmp_path, "retake", "P1/a.c3d")
    assert code == 0
    due = "select due_at <= now() and attempts = 0 from storage_intake"
    assert await harness.database.fetchval(due)


async def test_only_the_version_that_is_there_is_taken_in_anew(
    harness: Harness, tmp_path: Path
) -> None:
    path = await harness.upload(numbered(1), "P005/a.c3d")
    await sweep_of(harness).sweep()
    await overwrite(harness, path, numbered(2))
    await sweep_of(harness).sweep()
    code, _, _ = await command(harness.stack, tmp_path, "retake", path)
    assert code == 0
    assert [row[1] for row in await register(harness)] == ["session", "waiting"]


@pytest.mark.parametrize("unknown", ["P005/no such.c3d", "6b3f0d5e-0c1c-4c53-9d0e-3d5d9ab1c2f7"])
async def test_what_is_not_there_is_said_and_is_exit_code_1(
    harness: Harness, tmp_path: Path, unknown: str
) -> None:
    known = await refused(harness, "P005/a.c3d", numbered(1), "rejected")
    code, printed, complained = await command(harness.stack, tmp_path, "retake", unknown, known)
    assert (code, complained) == (1, "")
    assert printed.splitlines() == [
        f"{unknown}: not found, or being taken in",
        f"{known}: {DONE}",
    ]


async def test_another_bucket_is_left_alone(harness: Harness, tmp_path: Path) -> None:
    path = await refused(harness, "P005/a.c3d", numbered(1), "rejected")
    for arguments, expected in ((("--refused",), 0), ((path,), 1)):
        code, _, _ = await command(
            harness.stack, tmp_path, "retake", *arguments, C3D_BUCKET="another"
        )
        assert code == expected
    assert await outcomes(harness) == {path: "refused"}


async def test_thousands_are_taken_in_anew_each_once(harness: Harness, tmp_path: Path) -> None:
    await harness.database.execute(
        """
        with objects as (
          insert into storage.objects (bucket_id, name, version)
          select 'c3d-files', 'P005/' || n || '.c3d', '1' from generate_series(1, $1) as n
          returning id, name
        )
        insert into public.storage_intake
          (object_id, version, bucket_id, object_path, outcome, detail, due_at, taken_at)
        select id, '1', 'c3d-files', name, 'refused', 'rejected: No.', null, now() from objects
        """,
        MANY,
    )
    _, printed, _ = await command(harness.stack, tmp_path, "retake", "--refused", "--dry-run")
    assert printed == f"{MANY:,} refused uploads {DRY}.\n"
    _, printed, _ = await command(harness.stack, tmp_path, "retake", "--refused")
    assert printed == f"{MANY:,} refused uploads {DONE}.\n"
    waiting = "select count(*) from storage_intake where outcome = 'waiting'"
    assert await harness.database.fetchval(waiting) == MANY


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--refused", "--all"),
        ("--refused", "P005/a.c3d"),
        ("--all", "P005/a.c3d"),
        ("--all", "--code", "rejected"),
        ("P005/a.c3d", "--code", "rejected"),
        ("--dry-run",),
        ("--unknown",),
    ],
)
async def test_a_contradictory_call_changes_nothing(
    harness: Harness, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    path = await refused(harness, "P005/a.c3d", numbered(1), "rejected")
    code, printed, complained = await command(harness.stack, tmp_path, "retake", *arguments)
    assert (code, printed) == (2, "")
    assert "Usage" in complained
    assert await outcomes(harness) == {path: "refused"}
