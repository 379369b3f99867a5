"""`c3d-worker migrations --dry-run`: what a push would do, at 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from pydantic import SecretStr
from rich.console import Console
from rich.text import Text

from worker.commands.changes import changes
from worker.dry_run.attempt import Attempt, attempt
from worker.dry_run.migrations import Migration
from worker.dry_run.required import Required

WIDTH = 80  # columns; only a single word is longer
INDENT = "  "


async def dry_run(
    url: SecretStr, files: Sequence[Path], console: Console, *, only_read: bool
) -> bool:
    """Try the migrations on the real database, print what was found; return whether none stops.

    Raises:
        DatabaseUnreachableError, DryRunGaveUpError: the database could not be asked.
    """
    migrations = [Migration(file.name, file.read_text(encoding="utf-8")) for file in files]
    with console.status("trying the migrations"):
        found = await attempt(url, migrations, only_read=only_read)
    for line in report(found):
        console.print(line, soft_wrap=True)
    return found.stop is None


def report(found: Attempt) -> Iterator[Text]:
    """Yield what was found, line by line; a statement may be copied with its line breaks."""
    yield from _paragraph(_summary(found))
    if not found.pending:
        return
    if found.stop:
        yield from _heading("What would stop")
        yield from _paragraph(found.stop.migration, 1, "bold red")
        yield from _paragraph(found.stop.said, 2)
        yield from _paragraph(_after_the_stop(found), 1)
    if found.changes and not (found.is_new and not found.stop):
        yield from _heading("What would change" + (" until then" if found.stop else ""))
        for name, said in changes(found.changes):
            yield from _paragraph(f"{name}: {said}", 1, hang=1)
    yield from _dependents(found)
    if found.required:
        yield from _heading("Columns that refuse a new row")
        for column in found.required:
            yield from _recipes(column)
    if found.said:
        yield from _heading("What the migrations say (supabase db push does not print it)")
        for each in found.said:
            yield from _paragraph(f"{each.severity} of {each.migration}", 1, "yellow")
            yield from _paragraph(each.said, 2)


def _summary(found: Attempt) -> str:
    where = f"the database {found.database}, as role {found.role} (PostgreSQL {found.server})"
    pending = len(found.pending)
    if not pending:
        return f"Nothing to do in {where}: all {found.applied} migrations are applied."
    number = (
        f"{pending} of {pending + found.applied} migrations"
        if found.applied
        else f"{pending} migrations"
    )
    back = "Everything was taken back."
    if found.is_new and not found.stop:
        back += " The database has neither of the two tables yet: nothing of yours changes."
    outcome = "one stops" if found.stop else "none stops"
    if found.tried:
        return f"{number} were tried in {where}, and {outcome}. {back}"
    looked = "one stops" if found.stop else "nothing was found that stops them"
    checks = "" if found.applied else " and ran the checks with which the first one begins"
    return (
        f"{number} would run in {where}, and {looked}. They were not tried: this only read{checks}."
    )


def _after_the_stop(found: Attempt) -> str:
    later = found.pending[found.pending.index(found.stop.migration) + 1 :] if found.stop else ()
    return (
        f"The {len(later)} migrations after it were not reached, and others may stop as well: "
        "cure this, then run the command again."
        if later
        else "It is the last one."
    )


def _dependents(found: Attempt) -> Iterator[Text]:
    if found.is_new and not found.dependents:
        return
    yield from _heading("What depends on therapy_sessions and c3d_technical_data")
    if not found.dependents:
        yield from _paragraph("Nothing of yours.", 1)
    for kind, group in groupby(found.dependents, key=lambda each: each.kind):
        yield from _paragraph(kind, 1, "cyan")
        for each in group:
            yield from _paragraph(f"{each.name}: {' '.join(each.said.split())}", 2, hang=1)


def _recipes(column: Required) -> Iterator[Text]:
    refers = f", refers to {column.refers_to}" if column.refers_to else ""
    yield from _paragraph(
        f"{column.relation}.{column.column} is {column.type}, NOT NULL and without a default"
        f"{refers}. This project does not fill it, so its rows would be refused. Either "
        + ("give it a default (choose the value):" if column.example else "let it be empty:"),
        1,
    )
    yield from _code(column.default)
    place = "" if column.example else " (put an expression of yours in place of null)"
    yield from _paragraph(f"or have a trigger fill it, which can look at the row{place}:", 1)
    yield from _code(column.trigger)


def _heading(title: str) -> Iterator[Text]:
    yield Text()
    yield Text(title, "bold")


def _paragraph(text: str, depth: int = 0, style: str = "", *, hang: int = 0) -> Iterator[Text]:
    """Wrap at spaces only, so that no name is torn apart and a statement remains one."""
    for line in text.splitlines():
        yield Text(
            textwrap.fill(
                line,
                WIDTH,
                initial_indent=INDENT * depth,
                subsequent_indent=INDENT * (depth + (hang or line.startswith("- "))),
                break_long_words=False,
                break_on_hyphens=False,
            ),
            style,
        )


def _code(statement: str) -> Iterator[Text]:
    yield Text(textwrap.indent(statement, INDENT * 2), "green")
