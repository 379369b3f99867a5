"""Commands as people type them, in a process of their own."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from worker.local.stack import StackInfo
from worker.settings import settings_names


async def started(
    stack: StackInfo, folder: Path, *arguments: str, **settings: str
) -> asyncio.subprocess.Process:
    """Start `c3d-worker` with arguments, in a folder without a `.env`."""
    inherited = {k: v for k, v in os.environ.items() if k not in settings_names()}
    environment = {
        **inherited,
        "SUPABASE_URL": stack.url,
        "SUPABASE_SECRET_KEY": stack.secret_key,
        "COLUMNS": "160",
        **settings,
    }
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "worker",
        *arguments,
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def command(
    stack: StackInfo, folder: Path, *arguments: str, **settings: str
) -> tuple[int, str, str]:
    """Run it to its end; return its exit code, what it printed and what it complained of."""
    process = await started(stack, folder, *arguments, **settings)
    printed, complained = await process.communicate()
    assert process.returncode is not None
    assert b"Traceback" not in complained, complained.decode()
    return process.returncode, printed.decode(), complained.decode()
