"""What the commands about sessions print while they run and when they have finished."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from worker.backend.queued_uploads import IntakeResult, Outcome
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


def counting(console: Console) -> Progress:
    """Return a progress bar that counts objects."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeRemainingColumn(), console=console)


def sending(console: Console) -> Progress:
    """Return a progress bar that counts bytes."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    return Progress(*columns, TimeRemainingColumn(), console=console)


def backfilled(done: Backfilled) -> str:
    """Return a sentence on the result of a backfill."""
    parts = [f"{number:,} {WORDS[outcome]}" for outcome, number in done.outcomes.most_common()]
    total = done.outcomes.total()
    objects = "object" if total == 1 else "objects"
    said = f"{total:,} {objects} taken in: {', '.join(parts)}." if parts else ""
    if waiting := done.backlog.waiting:
        waits = "waits, and is" if waiting == 1 else "wait, and are"
        themselves = "itself" if waiting == 1 else "themselves"
        said += f" {waiting:,} {waits} taken in by {themselves}: upload_overview says for what."
    return said.strip() or "Every object of the bucket was taken in before."


def ingested(name: str, taken: IntakeResult) -> str:
    """Return a line on the outcome of the file `name`."""
    about = taken.session or taken.detail or ""
    return f"{name}: {WORDS[taken.outcome]} {about}".rstrip()


def outline(session: Mapping[str, Any]) -> dict[str, Any]:
    """Return a session's row without the columns that are printed elsewhere or never."""
    hidden = {"analytics_cache", "processing_claim"}
    return {name: value for name, value in session.items() if name not in hidden}
