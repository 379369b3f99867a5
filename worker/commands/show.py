"""`c3d-worker show`: one session on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from rich.console import Console

from worker.commands.display import channels, facts
from worker.commands.terminal import outline
from worker.extraction.statistics import ChannelStatistics
from worker.reports.show import look_up
from worker.settings import Settings


async def show_session(settings: Settings, session: UUID, console: Console) -> None:
    """Print the session, its technical row and its channels.

    Raises:
        SessionUnknownError, UnavailableError: as `look_up`.
    """
    shown = await look_up(settings, session)
    console.print(facts("\ntherapy_sessions", outline(shown.session)))
    if shown.technical:
        console.print(facts("\nc3d_technical_data", shown.technical))
    console.print("\n[bold italic]channels[/]: ", end="")
    console.print(shown.said, markup=False, highlight=False)
    if shown.statistics:
        console.print(channels(kept(shown.statistics), console.width))
        if omitted := shown.statistics.get("omitted"):
            console.print(f"and {omitted:,} channels more than are kept", highlight=False)


def kept(statistics: Mapping[str, Any]) -> Iterator[ChannelStatistics]:
    """Yield the channels of an object that `analytics` made."""
    for channel in statistics["channels"]:
        yield ChannelStatistics(
            name=channel["name"],
            unit=channel["unit"],
            samples=channel["samples"],
            minimum=channel["min"],
            maximum=channel["max"],
            mean=channel["mean"],
            rms=channel["rms"],
            mean_absolute=channel["mav"],
            at_rails=channel["at_rails"],
            not_finite=channel["not_finite"],
            flat=channel["flat"],
            clipped=channel["clipped"],
            envelope=tuple(channel["envelope"]),
        )
