"""Objects between the phases: within bounds, and gone in time."""

from __future__ import annotations

import asyncio
from functools import partial
from uuid import uuid4

import pytest

from worker.backend import held_objects
from worker.backend.held_objects import MAX_FILES, HeldObjects

CONTENT = b"a recording"
HASH = "0" * 64


def holding(**bounds: float) -> HeldObjects:
    """Return one whose bounds no test meets unless it says so."""
    return HeldObjects(**{"max_bytes": 1000, "max_object_bytes": 1000, "seconds": 60.0, **bounds})  # type: ignore[arg-type]


def arrive(held: HeldObjects, *, size: int | None = len(CONTENT), keep: bool = True) -> bool:
    """Have an object arrive, and return whether it is held afterwards."""
    before = held.files
    with held.incoming(size) as incoming:
        assert incoming.write(CONTENT) == len(CONTENT)
        if keep:
            held.keep(uuid4(), incoming, HASH)
    return held.files > before


async def test_what_arrived_is_handed_over_once_and_closed() -> None:
    held, session = holding(), uuid4()
    with held.incoming(len(CONTENT)) as incoming:
        incoming.write(CONTENT)
        held.keep(session, incoming, HASH)
    assert (held.sessions, held.files, held.bytes) == ([session], 1, len(CONTENT))
    with held.taken(session, HASH) as file:
        assert file is not None
        file.seek(0)
        assert file.read() == CONTENT
        assert held.sessions == []
    assert file.closed
    assert (held.files, held.bytes) == (0, 0)
    with held.taken(session, HASH) as again:
        assert again is None


async def test_bytes_of_another_hash_are_not_handed_over() -> None:
    held, session = holding(), uuid4()
    with held.incoming(len(CONTENT)) as incoming:
        held.keep(session, incoming, HASH)
    with held.taken(session, "1" * 64) as file:
        assert file is None
    assert held.files == 0


async def test_what_is_not_kept_is_closed() -> None:
    held = holding()
    assert not arrive(held, keep=False)


async def test_a_newer_object_of_a_session_replaces_the_older() -> None:
    held, session = holding(), uuid4()
    for content in (b"old", b"new"):
        with held.incoming(3) as incoming:
            incoming.write(content)
            held.keep(session, incoming, content.hex())
    assert held.files == 1
    with held.taken(session, b"new".hex()) as file:
        assert file is not None


async def test_what_nobody_reads_is_given_up_in_time() -> None:
    held = holding(seconds=0.05)
    assert arrive(held)
    async with asyncio.timeout(5):
        while held.files:
            await asyncio.sleep(0.01)
    assert held.sessions == []


@pytest.mark.parametrize(
    ("bounds", "size"),
    [
        ({"max_object_bytes": len(CONTENT) - 1}, len(CONTENT)),
        ({"max_bytes": len(CONTENT) - 1}, len(CONTENT)),
        ({}, None),
        ({}, 0),
    ],
)
async def test_what_is_beyond_a_bound_or_of_unknown_size_is_not_held(
    bounds: dict[str, float], size: int | None
) -> None:
    assert not arrive(holding(**bounds), size=size)


async def test_all_that_is_held_stays_within_the_bounds() -> None:
    held = holding(max_bytes=2 * len(CONTENT))
    assert [arrive(held) for _ in range(3)] == [True, True, False]
    many = holding(max_bytes=10**6)
    assert sum(arrive(many) for _ in range(MAX_FILES + 2)) == MAX_FILES
    for each in (held, many):
        for session in each.sessions:
            with each.taken(session, HASH):
                pass
        assert each.files == 0


async def test_a_full_disk_costs_the_held_bytes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        held_objects, "temporary_file", partial(open, "/dev/full", "wb", buffering=0)
    )
    assert not arrive(holding())


async def test_a_folder_that_takes_no_file_costs_the_held_bytes_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/proc")
    assert not arrive(holding())
