"""What the overview says of the channels: good only where every one was judged and has no fault."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.databases import Connection
from tests.integration.queue_calls import add, complete, held

GOOD = {"name": "CH1 Raw", "verdicts": []}
LOST = {
    "name": "CH2 Raw",
    "verdicts": [
        {"code": "mains", "share": 0.123},
        {"code": "dropout", "count": 3, "seconds": 0.53},
    ],
}
HUM = {"name": "CH1 Raw", "verdicts": [{"code": "mains", "share": 0.41}]}


async def signal(database: Connection, channels: Any, *, count: int = 2) -> str | None:
    """Return the overview's word on a completed session with so many channels."""
    session, claim_id = await held(database)
    await complete(database, session, claim_id)
    await database.execute(
        "update c3d_technical_data set channel_count = $2 where session_id = $1", session, count
    )
    await database.execute(
        "update therapy_sessions set analytics_cache = $2 where id = $1",
        session,
        json.dumps({"channel_statistics": {"version": 3, "channels": channels}}),
    )
    said: str | None = await database.fetchval(
        "select signal from session_overview where session_id = $1", session
    )
    return said


async def test_the_worst_is_said_first(database: Connection) -> None:
    assert await signal(database, [HUM, LOST]) == (
        "CH2 Raw: radio link lost 3 times, 0.5 s · CH1 Raw: 41 % mains hum"
        " · CH2 Raw: 12 % mains hum"
    )


async def test_of_many_faults_four_are_said(database: Connection) -> None:
    said = await signal(database, [HUM] * 300, count=300)
    assert said is not None
    assert said.count("41 % mains hum") == 4
    assert said.endswith(" · and 296 more")


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ({"code": "dropout", "count": 1, "seconds": 2.0}, "radio link lost once, 2 s"),
        ({"code": "dropout", "count": 2}, "radio link lost 2 times"),
        ({"code": "clipped", "share": 0.0469}, "5 % cut off"),
        ({"code": "clipped", "share": 0.00079}, "0.08 % cut off"),
        ({"code": "flat"}, "no signal"),
        ({"code": "motion", "share": 0.95}, "95 % movement"),
        ({"code": "coarse", "count": 8}, "only 8 different values"),
        ({"code": "burnt"}, "burnt"),
    ],
)
async def test_every_code_has_words(
    database: Connection, verdict: dict[str, Any], words: str
) -> None:
    channel = {"name": "CH1 Raw", "verdicts": [verdict]}
    assert await signal(database, [channel, GOOD]) == f"CH1 Raw: {words}"


async def test_good_is_said_only_where_every_channel_was_judged(database: Connection) -> None:
    assert await signal(database, [GOOD, GOOD]) == "good"
    assert await signal(database, [GOOD]) == "not judged: 1 of 2 channels"
    older = {"name": "CH1 Raw", "flat": False, "clipped": False}
    assert await signal(database, [GOOD, older]) == "not judged: 1 of 2 channels"
    assert await signal(database, [older, older]) == "not judged: c3d-worker judge"
    partly = {**GOOD, "not_judged": ["mains", "motion"]}
    assert (
        await signal(database, [GOOD, partly]) == "nothing found; hum and motion cannot be judged"
    )
    assert await signal(database, [GOOD, {**GOOD, "not_finite": 7}]) == (
        "CH1 Raw: 7 samples are no numbers"
    )


async def test_nothing_is_said_without_a_signal(database: Connection) -> None:
    assert await signal(database, [], count=0) is None
    waiting = await add(database)
    assert (
        await database.fetchval(
            "select signal from session_overview where session_id = $1", waiting
        )
        is None
    )


@pytest.mark.parametrize(
    "channels",
    [
        None,
        7,
        {"a": 1},
        [7, None],
        ["a"],
        [{"verdicts": 3}],
        [{"verdicts": [3, None, {"code": 4, "count": "x", "share": {}}]}],
        [{"name": {"a": 1}, "verdicts": [{"code": "mains", "share": "much"}], "not_finite": "x"}],
    ],
)
async def test_what_another_program_wrote_breaks_nothing(
    database: Connection, channels: Any
) -> None:
    assert await signal(database, channels) != "good"
