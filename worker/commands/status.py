"""`c3d-worker status`: the state of the queue on the terminal, once or repeatedly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.live import Live

from worker.backend.connection import Connection, connect
from worker.backend.queue_report import QueueReports
from worker.commands.status_page import page, watched, went_wrong
from worker.errors import UnavailableError
from worker.reports.status import Status, error_as_json, look
from worker.settings import Settings

WATCH_SECONDS = 3.0  # between two queries


async def show_status(settings: Settings, console: Console, *, watch: bool, as_json: bool) -> None:
    """Print the state once, or with `watch` every WATCH_SECONDS until cancelled.

    Raises:
        UnavailableError: the first query failed; later failures are printed and retried.
    """
    async with connect(settings) as connection:
        seen = await look(connection)
        if not watch:
            _print_json(console, seen.as_json()) if as_json else console.print(page(seen))
        elif as_json:
            async for latest, trouble in _frames(connection, seen):
                _print_json(console, {"error": trouble} if trouble else latest.as_json())
        else:
            await _watch(connection, console, seen)


async def list_failed(settings: Settings, console: Console, limit: int, *, as_json: bool) -> None:
    """Print the failed sessions, the newest first, at most `limit` of them.

    Raises:
        UnavailableError: Supabase is unavailable.
    """
    async with connect(settings) as connection:
        reports = QueueReports(connection.supabase)
        shown = [session async for session in reports.failed(limit)]
        if as_json:
            for session in shown:
                _print_json(console, error_as_json(session))
            return
        total = (await reports.queue()).failed
    if not shown:
        console.print("No session has failed.")
        return
    console.print(went_wrong(shown))
    if total > len(shown):
        console.print(f"{len(shown):,} of {total:,}; more with --limit.", highlight=False)


async def _frames(connection: Connection, seen: Status) -> AsyncIterator[tuple[Status, str]]:
    """Look again and again; yield the state when it was seen last, and why it is not seen now."""
    yield seen, ""
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        looking = asyncio.create_task(look(connection))
        try:
            while not (await asyncio.wait({looking}, timeout=WATCH_SECONDS))[0]:
                yield seen, "Supabase has not answered yet."
            seen = looking.result()
        except UnavailableError as error:
            yield seen, f"{error.code}: {error}"
        else:
            yield seen, ""
        finally:
            looking.cancel()


async def _watch(connection: Connection, console: Console, seen: Status) -> None:
    """Redraw the page, or print one after the other where nothing can be drawn over."""
    with ExitStack() as stack:
        live: Live | None = None
        if console.is_terminal and not console.is_dumb_terminal:
            live = stack.enter_context(Live(console=console, auto_refresh=False))
        async for latest, trouble in _frames(connection, seen):
            frame = watched(latest, trouble, datetime.now(UTC))
            if live:
                live.update(frame, refresh=True)
            else:
                console.print(frame, "")


def _print_json(console: Console, value: dict[str, Any]) -> None:
    console.out(json.dumps(value, ensure_ascii=False), highlight=False)
