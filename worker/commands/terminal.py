"""What the commands about sessions print while they run and when they have finished."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from worker.backend.patients import Whose
from worker.backend.queued_uploads import IntakeResult, Outcome
from worker.errors import WorkerError
from worker.intake.backfill import Backfilled

WORDS = {
    Outcome.SESSION: "new session",
    Outcome.DUPLICATE: "known already",
    Outcome.SKIPPED: "not a recording, skipped",
    Outcome.REFUSED: "refused",
    Outcome.WAITING: "waits",
    Outcome.TAKING: "being taken in",
    Outcome.SUPERSEDED: "overwritten meanwhile",
    Outcome.GONE: "deleted meanwhile",
    Outcome.LOST: "taken in by another worker",
}
READ_AGAIN = "known already, read again"  # a session that failed, of this content
NAME_WIDTH = 30  # characters of a file's name beside its bar: a longer one would wrap it
# Of a backfill, which cannot tell a session that it made from one that the application had made.
COUNTED = {Outcome.SESSION: "with a session of its own"}
OF_MANY = {Outcome.SESSION: "with a session of their own", Outcome.WAITING: "wait"}
HANG = 2  # columns by which a line that goes on is indented


def tell(console: Console, said: Text | str) -> None:
    """Print a line about one file or session; what of it does not fit goes on below, indented.

    It breaks between words, so that nothing is cut. A word that is wider than the screen, such as
    a path, goes on too. A file or a pipe, which no screen is, gets one line.
    """
    whole = Text.assemble(said)
    on_screen = console.is_terminal or "COLUMNS" in os.environ
    width = max(console.width - HANG, HANG)
    lines = whole.wrap(console, width) if on_screen else [whole]
    for number, line in enumerate(lines):
        line.rstrip()
        line.pad_left(HANG if number else 0)
        console.print(line, soft_wrap=True, highlight=False)


def refusal(name: str, error: WorkerError) -> Text:
    """Return a line on why a file or session has not what was asked for."""
    return Text.assemble(f"{name}: ", (error.code, "bold red"), f": {error}")


def counting(console: Console) -> Progress:
    """Return a progress bar that counts objects."""
    return _bar(console, TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())


def sending(console: Console) -> Progress:
    """Return a progress bar that counts bytes."""
    name = Column(max_width=NAME_WIDTH, no_wrap=True, overflow="ellipsis")
    described = TextColumn("{task.description}", markup=False, table_column=name)
    return _bar(console, described, BarColumn(bar_width=None), DownloadColumn())


def _bar(console: Console, *columns: ProgressColumn) -> Progress:
    """Return a bar, which only a screen shows: a file or a pipe gets the lines beside it alone."""
    columns += (TimeRemainingColumn(),)
    return Progress(*columns, console=console, disable=not console.is_terminal)


def backfilled(done: Backfilled) -> str:
    """Return a sentence on the result of a backfill."""
    parts = [_counted(number, outcome) for outcome, number in done.outcomes.most_common()]
    total = done.outcomes.total()
    objects = "object" if total == 1 else "objects"
    said = f"{total:,} {objects} taken in: {', '.join(parts)}." if parts else ""
    if again := done.requeued:
        were = "session that was there is" if again == 1 else "sessions that were there are"
        said += f" {again:,} {were} read again."
    if waiting := done.backlog.waiting:
        waits = "waits, and is" if waiting == 1 else "wait, and are"
        themselves = "itself" if waiting == 1 else "themselves"
        said += f" {waiting:,} {waits} taken in by {themselves}: upload_overview says for what."
    return said.strip() or "Every object of the bucket was taken in before."


def ingested(name: str, taken: IntakeResult, whose: Whose | None, patient: str | None) -> str:
    """Return a line on the outcome of the file `name`, which was brought for a patient."""
    words = READ_AGAIN if taken.requeued else WORDS[taken.outcome]
    said = f"{name}: {words} {taken.session or taken.detail or ''}".rstrip()
    if whose is None:
        return said
    if whose.patient is None:
        given = f"to {patient}" if patient else "as its path names none"
        return f"{said}, which has no patient. Set its patient_id {given}."
    is_new = taken.outcome is Outcome.SESSION and not taken.requeued
    named = not is_new or whose.is_another
    said += f", of patient {whose.patient}" if named else ""
    return f"{said}, not {patient}" if whose.is_another else said


def finished(name: str, row: Mapping[str, Any], technical: Mapping[str, Any] | None) -> str:
    """Return a line on a session that a worker has finished: what it read, or why it failed."""
    if technical is None:
        reason = row.get("processing_error") or row.get("processing_status") or "deleted"
        return f"{name}: {reason}"
    parts = (
        ("channel_count", "channels"),
        ("original_sampling_rate", "Hz"),
        ("original_duration_seconds", "s"),
    )
    values = (f"{technical[key]:g} {unit}" for key, unit in parts if technical[key] is not None)
    return f"{name}: {', '.join((row['processing_status'], *values))}"


def _counted(number: int, outcome: Outcome) -> str:
    words = COUNTED if number == 1 else OF_MANY
    return f"{number:,} {words.get(outcome, WORDS[outcome])}"


def outline(session: Mapping[str, Any]) -> dict[str, Any]:
    """Return a session's row without the columns that are printed elsewhere or never."""
    hidden = {"analytics_cache", "processing_claim"}
    return {name: value for name, value in session.items() if name not in hidden}
