"""Child processes that end with this process, whatever ends it, and restart when they crash.

The kernel sends a child its stop signal when its parent dies, even of SIGKILL (`PR_SET_PDEATHSIG`,
prctl(2)). Entering a user namespace or changing the user clears that setting, so `setpriv` sets it
last, and a shell checks whether the parent died just before.
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

_READY_SECONDS: Final = 30.0  # until a program must be ready
_POLL_SECONDS: Final = 0.02
_STOP_SECONDS: Final = 10.0  # until SIGKILL follows
_RESTART_SECONDS: Final = 0.2  # between the end of a program and its restart
_IF_PARENT_LIVES: Final = '[ "$PPID" = "$0" ] && exec "$@"'
_NAMESPACE: Final = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
_NOBODY: Final = 65534
_AS_NOBODY: Final = (
    f"--reuid={_NOBODY}",
    f"--regid={_NOBODY}",
    "--clear-groups",
    "--inh-caps=+dac_override",
    "--ambient-caps=+dac_override",
    "--securebits=+no_setuid_fixup",  # else access(2) ignores the capabilities of non-root users
)


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program to keep running."""

    name: str  # for messages
    command: Sequence[str]
    log: Path  # receives its output
    stop: signal.Signals  # ends it
    ready: Callable[[], Awaitable[bool]]  # whether it answers
    environment: Mapping[str, str] = field(default_factory=dict)  # besides PATH
    unprivileged: bool = False  # whether it refuses to run as root


@asynccontextmanager
async def running(program: Program) -> AsyncIterator[None]:
    """Run the program until the block ends, and restart it whenever it ends by itself.

    Raises:
        StackError: the program ended before it was ready, or was not ready in time.
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
    """Return a command that runs `command` and gets `stop` when this process dies."""
    watch = ("setpriv", "--pdeathsig", stop.name.removeprefix("SIG"))
    return [*watch, "sh", "-c", _IF_PARENT_LIVES, str(os.getpid()), *command]


def unprivileged(command: Sequence[str]) -> list[str]:
    """Return a command that runs `command` as an ordinary user: PostgreSQL refuses root.

    Inside a user namespace root is uid 1000 and still owns its files. Without such namespaces (as
    in most containers) the command runs as the user nobody, with one capability: to enter
    directories of other users, so that a clone below a private home directory works too.
    """
    if os.geteuid() != 0:
        return list(command)
    if _namespaces_work():
        return [*_NAMESPACE, *command]
    return ["setpriv", *_AS_NOBODY, *command]


def give_to_unprivileged(directory: Path) -> None:
    """Make the user who runs `unprivileged` commands the owner of a directory tree.

    Raises:
        StackError: the directory belongs to another user, and this one is not root.
    """
    user = os.geteuid()
    owner = _NOBODY if user == 0 and not _namespaces_work() else user
    if directory.stat().st_uid == owner:
        return
    if user != 0:
        raise StackError(
            f"{directory} belongs to another user. "
            "Use another folder with --data, or remove this one."
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
                start_new_session=True,  # Ctrl-C reaches only the stack, which stops its children
            )
    except FileNotFoundError as error:
        raise StackError(
            f"{error.filename} is not on this machine. Install util-linux, or use `supabase start`."
        ) from error


async def _until_ready(program: Program, process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(_READY_SECONDS):
            while not await program.ready():
                if process.returncode is not None:
                    raise StackError(f"{program.name} ended at once. {_last_line(program.log)}")
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise StackError(
            f"{program.name} did not answer for {_READY_SECONDS:.0f} s. {_last_line(program.log)}"
        ) from None


async def _keep(program: Program, process: asyncio.subprocess.Process) -> None:
    try:
        while True:
            await process.wait()
            await asyncio.sleep(_RESTART_SECONDS)
            process = await _start(program)
    finally:
        await _stop(program, process)


async def _stop(program: Program, process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(program.stop)
    try:
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return f"Its last words: {said[-1]} (all of them: {log})." if said else f"See {log}."
