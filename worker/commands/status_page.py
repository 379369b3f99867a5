"""What `c3d-worker status` shows: the numbers, and below them what somebody should look at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from worker.backend.patients import AnothersUpload, Orphan
from worker.backend.queue_report import QueueReport, RefusedUpload, SessionError
from worker.reports.status import STATES, Status

INDENTED = (0, 0, 0, 2)  # cells of padding: a reason is below what it explains
NO_ERROR = "Another program set it to failed."


def watched(seen: Status, trouble: str, now: datetime) -> RenderableType:
    """Return a page that begins with the clock and the connection, which no screen is too low for.

    Args:
        seen: the state when Supabase answered last.
        trouble: why it does not answer now; empty: it does.
        now: the time of this page.
    """
    clock = now.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    if not trouble:
        return Group(Text(f"{clock}  connected\n", "green"), page(seen))
    since = seen.at.astimezone().strftime("%H:%M:%S")
    line = f"{clock}  NOT CONNECTED: {trouble} The numbers below are those of {since}.\n"
    return Group(Text(line, "bold red"), page(seen))


def page(seen: Status) -> RenderableType:
    """Return the numbers, then each list that is not empty."""
    parts: list[RenderableType] = [_numbers(seen)]
    if seen.errors:
        parts += [Text("\nwent wrong last", "bold"), went_wrong(seen.errors)]
    if seen.refused:
        parts += [Text("\nuploads refused last", "bold"), _refused(seen.refused)]
    if seen.orphans:
        title = "\nwithout a patient (set patient_id, or move the file into the patient's folder)"
        parts += [Text(title, "bold"), _orphans(seen.orphans)]
    if seen.anothers:
        title = "\nuploads whose bytes are a session of another patient"
        parts += [Text(title, "bold"), _anothers(seen.anothers)]
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
    yield "sessions", ", ".join(f"{_number(queue, state)} {state}" for state in STATES)
    if queue.failed_by_code:
        yield "failed", _by_code(queue.failed_by_code)
    waiting = queue.oldest_due_age_seconds
    yield "due", f"{queue.due:,}" + (f", the longest for {_long(waiting)}" if waiting else "")
    yield "stuck", f"{queue.stuck:,}" + (": their worker stopped" if queue.stuck else "")
    yield "throughput", f"{seen.sessions_a_minute:g} sessions a minute, over ten minutes"
    if queue.set_aside:
        yield "set aside", f"{queue.set_aside:,}: their rows refuse to be changed"
    uploads = {
        "waiting": "uploads_waiting",
        "being taken in": "uploads_taking",
        "refused": "uploads_refused",
        "known already": "uploads_duplicate",
    }
    yield "uploads", ", ".join(f"{_number(queue, of)} {state}" for state, of in uploads.items())
    if queue.uploads_waiting_by_code:
        yield "they wait for", _by_code(queue.uploads_waiting_by_code)


def _number(queue: QueueReport, name: str) -> str:
    about = "about " if name in queue.estimated else ""
    return f"{about}{getattr(queue, name):,}"


def _by_code(numbers: Mapping[str, int]) -> str:
    codes = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{number:,} {code}" for code, number in codes)


def went_wrong(errors: Iterable[SessionError]) -> RenderableType:
    """Return two lines per session: a person needs its whole id for the next command."""
    lines: list[RenderableType] = []
    for each in errors:
        again = " It is retried." if each.status == "pending" else ""
        attempts = f"{each.attempts:,} {'attempt' if each.attempts == 1 else 'attempts'}"
        head = f"{each.session_id}  {_when(each.at)}  {attempts}  {each.file_path}"
        lines += [Text(head, "cyan"), Padding(Text(f"{each.error or NO_ERROR}{again}"), INDENTED)]
    return Group(*lines)


def _refused(uploads: Iterable[RefusedUpload]) -> RenderableType:
    lines: list[RenderableType] = []
    for each in uploads:
        head = Text(f"{_when(each.at)}  {each.file_path}", "cyan")
        lines += [head, Padding(Text(each.detail or ""), INDENTED)]
    return Group(*lines)


def _orphans(sessions: Iterable[Orphan]) -> RenderableType:
    return Group(
        *(Text(f"{each.session_id}  {_when(each.at)}  {each.file_path}") for each in sessions)
    )


def _anothers(uploads: Iterable[AnothersUpload]) -> RenderableType:
    lines: list[RenderableType] = []
    for each in uploads:
        head = Text(f"{_when(each.at)}  {each.file_path}", "cyan")
        lines += [head, Padding(Text(each.what_to_do), INDENTED)]
    return Group(*lines)


def _when(at: str | None) -> str:
    """Format a time from the database in this machine's time zone."""
    return datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M %Z") if at else ""


def _long(seconds: float) -> str:
    """Format a duration in its two largest units."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours >= 48:  # noqa: PLR2004 - two days, from which on days read better
        return f"{hours // 24:,} days {hours % 24} h"
    if hours:
        return f"{hours} h {minutes_left} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
