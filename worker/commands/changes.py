"""What a dry run would change, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from worker.dry_run.comparison import SESSIONS, TECHNICAL, Changed, Comparison

ITEMS = {  # kinds of things, and what a person calls them
    "relations": "tables and views",
    "triggers": "triggers",
    "functions": "functions",
    "constraints": "constraints",
    "indexes": "indexes",
    "published": "published tables",
}
COUNTED = {"functions"}  # too many to be named


def changes(found: Comparison) -> Iterator[tuple[str, str]]:
    """Yield what changes and how, in the order in which a person asks."""
    if found.sessions[0] is not None:
        yield "sessions", _counted(*found.sessions)
    for was, becomes, number in found.statuses:
        verb = "becomes" if number == 1 else "become"
        yield "status", f"{number:,} of status {was or 'NULL'} {verb} {becomes}"
    if not found.statuses and found.sessions[0]:
        yield "status", "every session keeps its own"
    yield "rows of c3d_technical_data", _counted(*found.technical_rows)
    if found.taken_over:
        said = f"values of {found.taken_over:,} completed sessions, which no worker has read"
        yield "taken over", f"{said}; after the push: c3d-worker requeue --migrated"
    yield from _columns(found)
    for kind, name in ITEMS.items():
        changed = found.kinds[kind]
        new = tuple(each for each in changed.added if not _is_of_a_new_table(found, each))
        if said := _said(replace(changed, added=new), count_only=kind in COUNTED):
            yield name, said


def _columns(found: Comparison) -> Iterator[tuple[str, str]]:
    columns, moved = found.kinds["columns"], {SESSIONS + name for name in found.moved}
    if moved:
        yield "columns moved to c3d_technical_data", ", ".join(found.moved)
    for word, names in (
        ("added", [name for name in columns.added if not _is_of_a_new_table(found, name)]),
        ("dropped", [name for name in columns.dropped if name not in moved]),
        ("altered (type or NOT NULL)", columns.altered),
    ):
        for table in (SESSIONS, TECHNICAL):
            if own := [name.removeprefix(table) for name in names if name.startswith(table)]:
                yield f"columns of {table.rstrip('.')} {word}", ", ".join(own)


def _is_of_a_new_table(found: Comparison, name: str) -> bool:
    """Return whether the thing came with its table, which is told already."""
    new = [
        table
        for table, rows in ((SESSIONS, found.sessions), (TECHNICAL, found.technical_rows))
        if rows[0] is None
    ]
    return name.startswith(tuple(new))


def _counted(before: int | None, after: int | None) -> str:
    if after is None:
        return "no such table"
    made = after - (before or 0)
    if not made:
        return f"{after:,}, as before"
    return f"{made:,} would be made, {after:,} in all" if made > 0 else f"{-made:,} would go"


def _said(changed: Changed, *, count_only: bool) -> str:
    parts = (
        ("new", changed.added),
        ("dropped", changed.dropped),
        ("replaced", changed.altered),
    )
    return "; ".join(f"{word} {_listed(names, count_only)}" for word, names in parts if names)


def _listed(names: Sequence[str], count_only: bool) -> str:  # noqa: FBT001 - private
    return f"{len(names)}" if count_only else ", ".join(names)
