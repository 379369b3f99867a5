"""Every measurement beside its rival, in one run.

    python -m benchmarks [NAME…]

Prints a table, writes results.json and circumstances.json beside this file, and docs/benchmarks.md
with its plots from them. BENCH=quick takes tiny sizes; it and a run of some benchmarks only write
results to build/benchmarks, and no page (`python -m benchmarks.report FOLDER` does).
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console

from benchmarks import (
    backlog,
    claim_growth,
    egress,
    extraction,
    file_growth,
    idle,
    intake,
    latency,
    local_stack,
    million,
    open_snapshot,
    pictures,
    several_workers,
    startup,
    upload_latency,
)
from benchmarks.harness import PROJECT
from benchmarks.report import table, write_page
from benchmarks.run import Run
from benchmarks.sizes import FULL, QUICK

BENCHMARKS: dict[str, Callable[[Run], Awaitable[None]]] = {
    "backlog": backlog.measure,
    "pictures": pictures.measure,
    "latency": latency.measure,
    "workers": several_workers.measure,
    "files": file_growth.measure,
    "idle": idle.measure,
    "claim": claim_growth.measure,
    "snapshot": open_snapshot.measure,
    "million": million.measure,
    "uploads": upload_latency.measure,
    "egress": egress.measure,
    "intake": intake.measure,
    "stack": local_stack.measure,
    "extraction": extraction.measure,
    "startup": startup.measure,
}


async def main(names: list[str]) -> int:
    """Run them one after another; what fails stops none of the others."""
    quick = os.environ.get("BENCH") == "quick"
    console, failed = Console(width=160), []
    whole = not quick and not names
    results = PROJECT / ("benchmarks" if whole else "build/benchmarks")
    with tempfile.TemporaryDirectory(prefix="c3d-bench-") as folder:
        async with AsyncExitStack() as context:
            run = Run(QUICK if quick else FULL, quick, Path(folder), results, context)
            run.look_at_the_machine()
            for name in names or BENCHMARKS:
                started = time.perf_counter()
                try:
                    await BENCHMARKS[name](run)
                except Exception:  # noqa: BLE001 - said below, and the run goes on
                    failed.append(name)
                    traceback.print_exc()
                console.print(f"{name}: {time.perf_counter() - started:.0f} s")
                run.look_at_the_machine()
                run.save()
    console.print(table([row.row() for row in run.rows]))
    for line in run.skipped:
        console.print(line)
    if failed:
        console.print(f"Failed: {', '.join(failed)}.")
    console.print(f"Written: {results}{f', {write_page(results)}' if whole else ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    if unknown := set(sys.argv[1:]) - set(BENCHMARKS):
        sys.exit(f"Unknown: {', '.join(sorted(unknown))}. Known: {', '.join(BENCHMARKS)}.")
    sys.exit(asyncio.run(main(sys.argv[1:])))
