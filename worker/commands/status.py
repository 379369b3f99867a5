"""`c3d-worker status`: the state of the queue on the terminal, once or repeatedly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from worker.backend.connection import Connection, connect
from worker.backend.queue_report import QueueReports, RefusedUpload, SessionError
from worker.errors import UnavailableError
from worker.reports.status import STATES, Status, error_as_json, look
from worker.settings import Settings

WATCH_SECONDS = 3.0  # between two queries
INDENTED = (0, 0, 0, 2)  # cells of padding: a reason is below what it explains
NO_ERROR = "Another program set it to failed."


async def show_status(settings: Settings, console: Console, *, watch: bool, as_json: bool) -> None:
    """Print the state once, or with `watch` every WATCH_SECONDS until cancelled.

    Raises:
        UnavailableError: the first query failed; later failures are printed and retried.
    """
    async with connect(settings) as connection:
        seen = await look(connection)
        if not watch:
            _print_json(console, seen.as_json()) if as_json else console.print(_page(seen))
        elif as_json:
            _print_json(console, seen.as_json())
            async for later, trouble in _looks(connection):
                _print_json(console, later.as_json() if later else {"error": trouble})
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
    console.print(_errors(shown))
    if total > len(shown):
        console.print(f"{len(shown):,} of {total:,}; more with --limit.", highlight=False)


async def _looks(connection: Connection) -> AsyncIterator[tuple[Status | None, str]]:
    """Look again and again; where a look fails, say why instead."""
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        try:
            yield await look(connection), ""
        except UnavailableError as error:
            yield None, f"{error.code}: {error}"


async def _watch(connection: Connection, console: Console, seen: Status) -> None:
    with Live(_page(seen), console=console, auto_refresh=False) as live:
        async for later, trouble in _looks(connection):
            seen = later or seen
            live.update(Group(_page(seen), Text(f"\n{trouble}", "bold red")), refresh=True)


def _page(seen: Status) -> RenderableType:
    parts: list[RenderableType] = [_numbers(seen)]
    if seen.errors:
        parts += [Text("\nwent wrong last", "bold"), _errors(seen.errors)]
    if seen.refused:
        parts += [Text("\nuploads refused last", "bold"), _refused(seen.refused)]
    return Group(*parts)


def _numbers(seen: Status) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _lines(seen):
        table.add_row(name, value)
    return table


def _lines(seen: Status) -> Iterator[tuple[str, str]]:
    queue = seen.queue
    yield "sessions", ", ".join(f"{getattr(queue, state):,} {state}" for state in STATES)
    if queue.failed_by_code:
        yield "failed", _by_code(queue.failed_by_code)
    waiting = queue.oldest_due_age_seconds
    yield "due", f"{queue.due:,}" + (f", the longest for {_long(waiting)}" if waiting else "")
    yield "stuck", f"{queue.stuck:,}" + (": their worker stopped" if queue.stuck else "")
    yield "throughput", f"{seen.sessions_a_minute:g} sessions a minute, over ten minutes"
    if queue.set_aside:
        yield "set aside", f"{queue.set_aside:,}: their rows refuse to be changed"
    uploads = {
        "waiting": queue.uploads_waiting,
        "being taken in": queue.uploads_taking,
        "refused": queue.uploads_refused,
        "known already": queue.uploads_duplicate,
    }
    yield "uploads", ", ".join(f"{number:,} {state}" for state, number in uploads.items())
    if queue.uploads_waiting_by_code:
        yield "they wait for", _by_code(queue.uploads_waiting_by_code)


def _by_code(numbers: Mapping[str, int]) -> str:
    codes = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{number:,} {code}" for code, number in codes)


def _errors(errors: Iterable[SessionError]) -> RenderableType:
    """Print two lines per session: a person needs its whole id for the next command."""
    lines: list[RenderableType] = []
    for each in errors:
        again = " It is retried." if each.status == "pending" else ""
        attempts = f"{each.attempts:,} {'attempt' if each.attempts == 1 else 'attempts'}"
        head = f"{each.session_id}  {_when(each.at)}  {attempts}  {each.file}"
        lines += [Text(head, "cyan"), Padding(Text(f"{each.error or NO_ERROR}{again}"), INDENTED)]
    return Group(*lines)


def _refused(uploads: Iterable[RefusedUpload]) -> RenderableType:
    lines: list[RenderableType] = []
    for each in uploads:
        head = Text(f"{_when(each.at)}  {each.file_path}", "cyan")
        lines += [head, Padding(Text(each.detail or ""), INDENTED)]
    return Group(*lines)


def _when(at: str | None) -> str:
    """Format a time from the database in this machine's time zone."""
    return datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M") if at else ""


def _long(seconds: float) -> str:
    """Format a duration in its two largest units."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours >= 48:  # noqa: PLR2004 - two days, from which on days read better
        return f"{hours // 24:,} days {hours % 24} h"
    if hours:
        return f"{hours} h {minutes_left} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _print_json(console: Console, value: dict[str, Any]) -> None:
    console.out(json.dumps(value, ensure_ascii=False), highlight=False)
