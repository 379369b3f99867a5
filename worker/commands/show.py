"""`c3d-worker show`: one session on the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console

from worker.commands.display import facts, show_channels
from worker.commands.terminal import outline
from worker.extraction.statistics import ChannelStatistics
from worker.extraction.verdicts import Verdict
from worker.reports.show import Shown, look_up
from worker.settings import Settings


async def show_session(
    settings: Settings, said: str, console: Console, *, as_json: bool = False
) -> None:
    """Print a session, its technical row and its channels; `said` is as for `look_up`.

    Raises:
        SessionUnknownError, UnavailableError: as `look_up`.
    """
    shown = await look_up(settings, said)
    if as_json:
        console.out(json.dumps(shown.as_json(), ensure_ascii=False), highlight=False)
        return
    console.print(facts("\ntherapy_sessions", outline(shown.session)))
    if shown.technical:
        console.print(facts("\nc3d_technical_data", shown.technical))
    console.print("\n[bold italic]channels[/]: ", end="")
    console.print(shown.said, markup=False, highlight=False)
    if shown.statistics:
        show_channels(kept(shown.statistics), console)
        if omitted := shown.statistics.get("omitted"):
            console.print(f"and {omitted:,} channels more than are kept", highlight=False)
    console.print("\n[bold italic]picture[/]: ", end="")
    console.print(_picture(shown), markup=False, highlight=False, soft_wrap=True)


def _picture(shown: Shown) -> str:
    """Say where the picture lies, or how to draw one where the recording could be read."""
    if shown.preview or shown.session["processing_status"] != "completed":
        return shown.preview or "none in Storage"
    return f"none in Storage; to draw one here: c3d-worker plot {shown.session['id']}"


def kept(statistics: Mapping[str, Any]) -> Iterator[ChannelStatistics]:
    """Yield the channels of an object that `analytics` made; what had no room there is empty."""
    for channel in statistics["channels"]:
        verdicts = tuple(Verdict(**verdict) for verdict in channel["verdicts"])
        codes = {verdict.code for verdict in verdicts}
        yield ChannelStatistics(
            name=channel.get("name", ""),
            unit=channel.get("unit", ""),
            samples=channel.get("samples", 0),
            minimum=channel.get("min"),
            maximum=channel.get("max"),
            mean=channel.get("mean"),
            rms=channel.get("rms"),
            mean_absolute=channel.get("mav"),
            at_rails=channel.get("at_rails", 0.0),
            not_finite=channel.get("not_finite", 0),
            flat="flat" in codes,
            clipped="clipped" in codes,
            envelope=tuple(channel.get("envelope", ())),
            verdicts=verdicts,
            not_judged=tuple(channel.get("not_judged", ())),
        )
