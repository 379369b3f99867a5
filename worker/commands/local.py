"""`c3d-worker local`: the stack for people, in a terminal of its own."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from worker.commands.migrations import project
from worker.local.migrated import migrate
from worker.local.packages import installed
from worker.local.stack import Ports, StackInfo, configured_ports, serve


async def serve_local(data: Path, *, free_ports: bool, env_file: Path | None, push: bool) -> None:
    """Serve until Ctrl-C; print a ready `.env`, and write it where `env_file` says.

    Args:
        data: where the stack keeps its data.
        free_ports: any free ports, not those of config.toml.
        env_file: is written once everything is ready.
        push: apply the migrations first.

    Raises:
        StackError: the stack cannot be started, or a migration failed.
    """
    ports = Ports(0, 0) if free_ports else configured_ports(project())
    started: asyncio.Queue[StackInfo] = asyncio.Queue()
    serving = asyncio.create_task(serve(data, ports, ready=started.put_nowait, report=_say))
    starting = asyncio.create_task(started.get())
    try:
        await asyncio.wait([serving, starting], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            info = starting.result()
            if push:
                _say("Applying the migrations …")
                await migrate(info, project(), await installed(_say))
            if env_file:
                await asyncio.to_thread(env_file.write_text, info.env(), encoding="utf-8")
            print(info.env(), flush=True)  # noqa: T201 - what this command is for
            _say("Ready. Ctrl-C stops it.")
        await serving
    finally:
        starting.cancel()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


def _say(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201 - a person waits
