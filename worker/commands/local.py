"""`c3d-worker local`: the stack for people, in a terminal of its own."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from pathlib import Path

from worker.commands.migrations import project
from worker.errors import FileDiffersError, StackError
from worker.local.migrated import migrate
from worker.local.packages import installed
from worker.local.stack import Ports, StackInfo, configured_ports, serve


async def serve_local(
    data: Path, *, free_ports: bool, env_file: Path | None, force: bool, push: bool
) -> None:
    """Serve until Ctrl-C; print a ready `.env`, and write it where `env_file` says.

    Args:
        data: where the stack keeps its data.
        free_ports: any free ports, not those of config.toml.
        env_file: is written once everything is ready.
        force: another file at `env_file` is kept beside it and replaced.
        push: apply the migrations first.

    Raises:
        StackError: the stack cannot be started, a migration failed, or `env_file` has no folder.
        FileDiffersError: another file is at `env_file`; nothing was started.
    """
    if env_file and not force and _is_somebodys(env_file):
        raise FileDiffersError(
            f"{env_file} was not written by this command, and may hold the key of a project "
            f"(--force would keep it as {_kept_as(env_file).name})."
        )
    if env_file and not os.access(env_file.parent, os.W_OK):
        raise StackError(
            f"{env_file} cannot be written: {env_file.parent} is no folder, or not yours to write "
            "into. Nothing was started."
        )
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
                await asyncio.to_thread(_write, env_file, info)
            print(info.env(), flush=True)  # noqa: T201 - what this command is for
            _say("Ready. Ctrl-C stops it.")
        await serving
    finally:
        starting.cancel()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


def _is_somebodys(env_file: Path) -> bool:
    return env_file.exists() and not StackInfo.wrote(env_file)


def _write(env_file: Path, info: StackInfo) -> None:
    if _is_somebodys(env_file):
        kept = _kept_as(env_file)
        env_file.rename(kept)
        _say(f"The file that was there is kept as {kept}.")
    env_file.write_text(info.env(), encoding="utf-8")


def _kept_as(env_file: Path) -> Path:
    """Return a free name beside the file."""
    names = (f"{env_file.name}.old{number or ''}" for number in itertools.count())
    return next(path for name in names if not (path := env_file.with_name(name)).exists())


def _say(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201 - a person waits
