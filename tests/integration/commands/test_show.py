"""`c3d-worker show` and `plot` find a session by its id, its path or the name of its file."""

from __future__ import annotations

import io
import json
from pathlib import Path
from uuid import UUID

import pytest
from PIL import Image
from rich.console import Console

from tests.integration.harness import Harness
from tests.integration.uploads import RECORDING, numbered, settings_of
from worker.commands.plot import plot_sessions
from worker.commands.show import show_session
from worker.errors import SessionUnknownError

PATH = "P005/Ghostly, (one) 'two' & $3.c3d"


async def completed(harness: Harness, content: bytes = RECORDING, path: str = PATH) -> UUID:
    session = await harness.session(content, path=path)
    await harness.database.execute(
        "update public.therapy_sessions set processing_status = 'completed',"
        " processing_due_at = null where id = $1",
        session,
    )
    return session


async def shown(harness: Harness, said: str) -> dict[str, object]:
    console = Console(file=io.StringIO(), width=80)
    await show_session(settings_of(harness.stack), said, console, as_json=True)
    said_back = console.file.getvalue()  # type: ignore[attr-defined] # it is a StringIO
    found: dict[str, object] = json.loads(said_back)
    return found


async def test_an_id_a_path_and_a_name_show_the_same_session_as_json(harness: Harness) -> None:
    session = await completed(harness)
    name = await harness.database.fetchval("select original_filename from public.therapy_sessions")
    for said in (str(session), PATH, f"{harness.bucket}/{PATH}", name):
        found = await shown(harness, said)
        assert isinstance(found["session"], dict)
        assert found["session"]["id"] == str(session)
        assert isinstance(found["statistics"], dict)
        assert found["preview"] is None


async def test_the_picture_is_named_once_it_is_made(harness: Harness) -> None:
    session = await completed(harness)
    await harness.database.execute("select public.want_preview($1)", session)
    assert (await shown(harness, PATH))["preview"] is None
    await harness.database.execute("select public.end_preview($1)", session)
    where = f"c3d-previews/{session}.png"
    assert (await shown(harness, PATH))["preview"] == where
    console = Console(file=io.StringIO(), width=80)
    await show_session(settings_of(harness.stack), PATH, console)
    assert f"picture: {where}" in console.file.getvalue()  # type: ignore[attr-defined] # as above


async def test_a_picture_is_offered_where_one_can_be_drawn(harness: Harness) -> None:
    good, bad = await completed(harness), await harness.session(b"no recording", path="bad.c3d")
    await harness.database.execute(
        "update public.therapy_sessions set processing_status = 'failed', processing_due_at = null,"
        " processing_error = 'c3d_not_c3d: No.' where id = $1",
        bad,
    )
    offer = "c3d-worker plot"
    for session, offered in ((good, f"{offer} {good}"), (bad, "picture: none in Storage\n")):
        console = Console(file=io.StringIO(), width=80)
        await show_session(settings_of(harness.stack), str(session), console)
        said = console.file.getvalue()  # type: ignore[attr-defined] # as above
        assert offered in said
        assert (offer in said) == (session == good)


async def test_of_several_sessions_of_a_name_the_ids_are_listed(harness: Harness) -> None:
    ids = [await completed(harness, numbered(each), f"P{each}/a.c3d") for each in (1, 2)]
    await harness.database.execute("update public.therapy_sessions set original_filename = 'a.c3d'")
    with pytest.raises(SessionUnknownError) as several:
        await shown(harness, "a.c3d")
    assert all(str(each) in str(several.value) for each in ids)


async def test_what_is_called_nothing_of_the_kind_is_said(harness: Harness) -> None:
    with pytest.raises(SessionUnknownError):
        await shown(harness, "nobody.c3d")


async def test_a_session_is_drawn_from_its_recording(harness: Harness, tmp_path: Path) -> None:
    session = await completed(harness)
    console = Console(file=io.StringIO())
    out = tmp_path / "picture.png"
    assert await plot_sessions(settings_of(harness.stack), [PATH], out, console)
    with Image.open(out) as picture:
        assert picture.width == 1600
    assert await plot_sessions(settings_of(harness.stack), [str(session)], tmp_path, console)
    assert (tmp_path / f"{session}.png").exists()
