"""Child processes that end with this one, whatever ends it, and start again if they fall.

The kernel sends a child its stop signal when its parent dies (`PR_SET_PDEATHSIG`, prctl(2)),
SIGKILL included. Entering a user namespace or changing the user clears that wish, so `setpriv`
utters it last, and a shell looks whether the parent died just before.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from worker.errors import StackError

_READY_WITHIN: Final = 30.0  # seconds
_LOOK_EVERY: Final = 0.02  # seconds
_STOP_WITHIN: Final = 10.0  # seconds, then SIGKILL
_RESTART_AFTER: Final = 0.2  # seconds
_IF_PARENT_LIVES: Final = '[ "$PPID" = "$0" ] && exec "$@"'
_NAMESPACE: Final = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
_NOBODY: Final = 65534
_AS_NOBODY: Final = (
    f"--reuid={_NOBODY}",
    f"--regid={_NOBODY}",
    "--clear-groups",
    "--inh-caps=+dac_override",
    "--ambient-caps=+dac_override",
    "--securebits=+no_setuid_fixup",  # access(2) ignores capabilities of others than root without
)


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program to keep running: how to start it, how to stop it, how to see that it works."""

    name: str
    command: Sequence[str]
    log: Path
    stop: signal.Signals
    ready: Callable[[], Awaitable[bool]]
    environment: Mapping[str, str] = field(default_factory=dict)
    unprivileged: bool = False


@asynccontextmanager
async def running(program: Program) -> AsyncIterator[None]:
    """Run the program until the block ends, and start it again whenever it ends by itself.

    Raises:
        StackError: it ended, or did not answer, before it was ready.
    """
    process = await _start(program)
    try:
        await _until_ready(program, process)
    except BaseException:
        await _stop(program, process)
        raise
    keeper = asyncio.create_task(_keep(program, process))
    try:
        yield
    finally:
        keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeper


def ending_with_this_process(command: Sequence[str], stop: signal.Signals) -> list[str]:
    """Return the command as one that gets the signal when this process dies, however it dies."""
    watch = ("setpriv", "--pdeathsig", stop.name.removeprefix("SIG"))
    return [*watch, "sh", "-c", _IF_PARENT_LIVES, str(os.getpid()), *command]


def unprivileged(command: Sequence[str]) -> list[str]:
    """Return the command as an ordinary user may run it: PostgreSQL refuses root.

    Inside a user namespace root is uid 1000 and still owns its files. Where there are no such
    namespaces (most containers) the command runs as nobody, who keeps the one capability that
    opens directories of others, so that a clone below a private home directory works too.
    """
    if os.geteuid() != 0:
        return list(command)
    if _namespaces_work():
        return [*_NAMESPACE, *command]
    return ["setpriv", *_AS_NOBODY, *command]


def give_to_unprivileged(directory: Path) -> None:
    """Give a directory tree to the user whom `unprivileged` commands run as."""
    user = os.geteuid()
    owner = _NOBODY if user == 0 and not _namespaces_work() else user
    if directory.stat().st_uid == owner:
        return
    if user != 0:
        raise StackError(
            f"{directory} belongs to another user. Use another data directory, or remove this one."
        )
    for path in (directory, *directory.rglob("*")):
        os.chown(path, owner, owner, follow_symlinks=False)


@cache
def _namespaces_work() -> bool:
    if shutil.which(_NAMESPACE[0]) is None:
        return False
    return subprocess.run([*_NAMESPACE, "true"], check=False, capture_output=True).returncode == 0  # noqa: S603 - a fixed command


async def _start(program: Program) -> asyncio.subprocess.Process:
    command = ending_with_this_process(program.command, program.stop)
    if program.unprivileged:
        command = unprivileged(command)
    try:
        with program.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                env={"PATH": os.environ.get("PATH", os.defpath), **program.environment},
                start_new_session=True,  # Ctrl-C is for the stack; it stops its children in order
            )
    except FileNotFoundError as error:
        raise StackError(
            f"{error.filename} is not on this machine. Install util-linux, or use `supabase start`."
        ) from error


async def _until_ready(program: Program, process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(_READY_WITHIN):
            while not await program.ready():
                if process.returncode is not None:
                    raise StackError(f"{program.name} ended at once. {_last_words(program.log)}")
                await asyncio.sleep(_LOOK_EVERY)
    except TimeoutError:
        raise StackError(
            f"{program.name} did not answer for {_READY_WITHIN:.0f} s. {_last_words(program.log)}"
        ) from None


async def _keep(program: Program, process: asyncio.subprocess.Process) -> None:
    try:
        while True:
            await process.wait()
            await asyncio.sleep(_RESTART_AFTER)
            process = await _start(program)
    finally:
        await _stop(program, process)


async def _stop(program: Program, process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(program.stop)
    try:
        await asyncio.wait_for(process.wait(), _STOP_WITHIN)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return f"Its last words: {said[-1]} (all of them: {log})." if said else f"See {log}."
