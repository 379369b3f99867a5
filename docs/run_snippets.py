"""Runs the SQL in `docs/snippets` on a local stack with sessions, and writes the results down.

Run it with `.venv/bin/python docs/run_snippets.py`. In `docs/dashboard.md` it replaces the text
between the two marks of each snippet by the SQL and its result. A real worker makes the sessions.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np

from worker.local.migrated import connected, migrate
from worker.local.packages import ensure_installed
from worker.local.recordings import ghostly_recording, recording
from worker.local.stack import Ports, StackInfo, local_stack
from worker.local.worker_process import worker_process
from worker.settings import DEFAULT_BUCKET

DOCS = Path(__file__).resolve().parent
PAGE = DOCS / "dashboard.md"
SNIPPETS = DOCS / "snippets"
CHANGES = "requeue_code"  # the one snippet that changes rows, so it runs last

UNFINISHED = """select count(*) from public.therapy_sessions
                where processing_status in ('pending', 'processing')"""
# Gives each completed session the date that its file's name states.
EARLIER = r"""update public.therapy_sessions
              set created_at = substring(original_filename from '^[\d-]+')::date + time '16:00'
              where processing_status = 'completed'"""


def snippets() -> list[Path]:
    """Return the files of the snippets, in the order in which they run."""
    return sorted(SNIPPETS.glob("*.sql"), key=lambda path: (path.stem == CHANGES, path))


def uploads() -> dict[str, bytes]:
    """Return the content of each upload by its path: some weeks of recordings, faulty ones too."""
    whole = ghostly_recording(75.03, seed=1)
    return {
        "P005/2026-11-10_left.c3d": whole,
        "P005/2026-11-10_left_copy.c3d": whole,
        "P005/2026-11-12_left.c3d": ghostly_recording(612.0, seed=2),
        "P005/2026-11-17_left.c3d": ghostly_recording(300.0, seed=3)[:400_000],
        "P006/2026-11-11_right.c3d": ghostly_recording(431.0, seed=4),
        "P006/2026-11-18_right.c3d": _bad_electrodes(),
        "P007/2026-11-19_right.c3d": ghostly_recording(533.0, seed=5),
        "P007/2026-11-20_right.c3d": ghostly_recording(900.0, seed=6),
        "P007/report.c3d": b"%PDF-1.4 a report under the wrong name",
        "P007/notes.txt": b"second electrode came off",
    }


def _bad_electrodes() -> bytes:
    """Build a recording of two channels: one flat, one clipped."""
    noise = np.random.default_rng(6).standard_normal(60 * 990)
    analog = np.column_stack([np.zeros(noise.size), np.clip(noise, -1, 1)])
    return recording(
        analog, samples_per_frame=30, frame_rate=33.0, labels=["CH1 Raw", "CH2 Raw"], points=1
    )


async def results() -> dict[str, str]:
    """Run every snippet, and return each result as text by the snippet's name."""
    async with populated() as database:
        return {
            path.stem: table(await database.fetch(path.read_text(encoding="utf-8")))
            for path in snippets()
        }


@asynccontextmanager
async def populated() -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Yield a connection to a local stack of which a worker has read every upload."""
    packages = ensure_installed(print)
    with tempfile.TemporaryDirectory() as folder:
        async with local_stack(Path(folder) / "stack", Ports(0, 0), lambda _: None) as stack:
            await migrate(stack, DOCS.parent, packages)
            database = await asyncpg.connect(stack.database_url)
            try:
                await _populate(stack, database, Path(folder))
                yield database
            finally:
                await database.close()


async def _populate(
    stack: StackInfo, database: asyncpg.Connection[asyncpg.Record], folder: Path
) -> None:
    async with connected(stack) as connection:
        for path, content in uploads().items():
            await connection.supabase.storage.from_(DEFAULT_BUCKET).upload(path, content)
    settings = {"CONCURRENCY": "1", "MAX_FILE_MB": "12"}
    async with worker_process(stack, folder, **settings) as worker:
        for _ in range(sum(path.endswith(".c3d") for path in uploads())):
            await worker.until("object_taken")
        while await database.fetchval(UNFINISHED):
            await asyncio.sleep(0.1)
    await database.execute(EARLIER)


def table(rows: Sequence[Any]) -> str:
    """Return rows as psql prints them."""
    names = list(rows[0].keys()) if rows else ["(no rows)"]
    lines = [names, *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(names))]
    drawn = [
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    drawn.insert(1, "-+-".join("-" * width for width in widths))
    return "\n".join(drawn)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def page(text: str, found: dict[str, str]) -> str:
    """Return the page's `text` with every snippet and its result between their marks."""
    for name, result in found.items():
        sql = (SNIPPETS / f"{name}.sql").read_text(encoding="utf-8")
        block = f"```sql\n{sql}```\n\n```text\n{result}\n```"
        marked = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        place = marked.search(text)
        if place is None:
            raise SystemExit(f"{PAGE.name} has no place for {name}.")
        text = text[: place.start()] + place[1] + block + place[2] + text[place.end() :]
    return text


def main() -> None:
    """Write the page with new results."""
    found = asyncio.run(results())
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")


if __name__ == "__main__":
    main()
