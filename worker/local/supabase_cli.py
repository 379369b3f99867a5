"""Runs the real Supabase CLI, without the user's home, account or telemetry."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from worker.errors import StackError
from worker.local.packages import Packages

_QUIET: Final = {"DO_NOT_TRACK": "1", "SUPABASE_NO_UPDATE_NOTIFIER": "1"}
_URL: Final = re.compile(r"postgres(?:ql)?://\S+")
_LAST_LINES: Final = 8  # of the output: they name the migration, the error, the statement
_USELESS: Final = ("Target:", "Confirmed by", "Try rerunning")


async def push(database_url: str, project: Path, packages: Packages) -> str:
    """Apply `project/supabase/migrations` with `supabase db push`, and return its output.

    Raises:
        StackError: a migration failed; the message contains the end of the output.
    """
    arguments = ["db", "push", f"--remote={database_url}", "--yes"]
    done = await asyncio.to_thread(run_cli, packages, arguments, project)
    said = _meaningful(done.stderr) + _meaningful(done.stdout)
    if done.returncode:
        raise StackError(
            f"`supabase db push` failed: {' '.join(said[-_LAST_LINES:])}. "
            "Correct the migration, then push again: the files before it are applied."
        )
    return "\n".join(said)


def run_cli(
    packages: Packages, arguments: Sequence[str], cwd: Path
) -> subprocess.CompletedProcess[str]:
    """Run the CLI in the directory `cwd`, and return its output and exit code unchecked."""
    with tempfile.TemporaryDirectory() as home:
        return subprocess.run(  # noqa: S603 - the installed CLI
            [packages.supabase, *arguments],
            cwd=cwd,
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": home, **_QUIET},
            check=False,
            capture_output=True,
            text=True,
        )


def _meaningful(output: str) -> list[str]:
    lines = (_URL.sub("the database", line.strip()) for line in output.splitlines())
    return [line for line in lines if line and not line.startswith(_USELESS)]
