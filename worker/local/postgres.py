"""Runs a PostgreSQL cluster with the roles and schemas of Supabase.

It works with the bin directory of PostgreSQL 15 or newer, so tests can use other versions than the
installed one. Anyone on this machine may connect as any role (`trust`): it is a development cluster
with development data.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Final

import asyncpg
from yarl import URL

from worker.errors import StackError
from worker.local import ports
from worker.local.process import (
    Program,
    ending_with_this_process,
    give_to_unprivileged,
    running,
    unprivileged,
)

# What a connection raises if its server crashed, restarts or refuses; asyncpg's classes have no
# common base.
DATABASE_ERRORS: Final = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresError,
    OSError,
)
SUPERUSER: Final = "supabase_admin"
_SETTINGS: Final = {
    "listen_addresses": ports.HOST,
    "unix_socket_directories": "",
    "wal_level": "logical",  # Realtime reads a logical slot
    "max_connections": "100",
    "shared_buffers": "64MB",
    "fsync": "off",  # data survive killed processes, but not a power failure
    "full_page_writes": "off",
    "timezone": "UTC",
    # synchronous_commit stays on: without it changes reach the slot 200 ms late
}
_SCRIPTS: Final = {"bootstrap.sql": "storage", "outgoing.sql": "net"}  # script: schema it creates
_STOP_SECONDS: Final = 10.0  # for the PostgreSQL of a killed stack
_POLL_SECONDS: Final = 0.05


@asynccontextmanager
async def cluster(binaries: Path, data: Path, port: int) -> AsyncIterator[str]:
    """Run a cluster whose data are in `data/postgres`, and yield its URL as role postgres.

    Args:
        binaries: the directory that contains `postgres` and `initdb`.
        data: the directory of the stack.
        port: 0 for any free port.

    Raises:
        StackError: the cluster cannot be created or started.
    """
    port = ports.choose(port, "the database")
    home = data / "postgres"
    if not home.exists():
        await _create(binaries, home)
    give_to_unprivileged(home)
    await _await_predecessor(home)
    url = f"postgresql://postgres:postgres@{ports.HOST}:{port}/postgres?sslmode=disable"
    settings = [f"-c{name}={value}" for name, value in {**_SETTINGS, "port": port}.items()]
    program = Program(
        name="PostgreSQL",
        command=[str(binaries / "postgres"), "-D", str(home), *settings],
        log=data / "postgres.log",
        stop=signal.SIGINT,  # "fast" shutdown, which does not wait for clients
        ready=lambda: _answers(as_role(url, SUPERUSER)),
        unprivileged=True,
    )
    async with running(program):
        await _bootstrap(url)
        yield url


async def create_database(url: str, name: str, *, template: str = "") -> str:
    """Create another database like Supabase's in the cluster of `url`; return its URL as postgres.

    With `template`, the name of a database that this function created, it copies that one, which
    takes some 50 ms.
    """
    copied = f'template "{template}"' if template else ""
    await _execute(as_role(url, SUPERUSER), f'create database "{name}" owner postgres {copied}')
    created = str(URL(url).with_path(f"/{name}", keep_query=True))
    if not template:
        await _bootstrap(created)
    return created


def as_role(url: str, role: str) -> str:
    """Return the URL of the same database for another role."""
    return str(URL(url).with_user(role))


async def _create(binaries: Path, home: Path) -> None:
    staging = home.with_suffix(".partial")
    shutil.rmtree(staging, ignore_errors=True)  # left by a start that was killed
    staging.mkdir(parents=True, mode=0o700)
    give_to_unprivileged(staging)
    names = ("--username", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8")
    command = [str(binaries / "initdb"), "-D", str(staging), *names, "--no-sync"]
    process = await asyncio.create_subprocess_exec(
        *unprivileged(ending_with_this_process(command, signal.SIGKILL)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise StackError(
            f"initdb could not create {home}: {_reason(said.decode(errors='replace'))}"
        )
    staging.rename(home)


def _reason(said: str) -> str:
    """Return what went wrong first; the last thing that initdb says is what it removes."""
    lines = said.strip().splitlines() or ["it gave no reason"]
    if any("No space left on device" in line for line in lines):
        return (
            "the disk is full. Free 100 MB there, or name another disk: TMPDIR for the demo, "
            "--data for the local stack."
        )
    return next((line for line in lines if "error:" in line or "FATAL:" in line), lines[-1])


async def _await_predecessor(home: Path) -> None:
    """Wait until the PostgreSQL of a killed stack has ended, and remove its stale pid file.

    The caller holds the lock of the data directory, so a PostgreSQL that still runs there belongs
    to a stack that was killed.
    """
    for _ in range(round(_STOP_SECONDS / _POLL_SECONDS)):
        if (pid := _running_in(home)) is None:
            # With the file PostgreSQL would not start if another program has that process id now.
            (home / "postmaster.pid").unlink(missing_ok=True)
            return
        await asyncio.sleep(_POLL_SECONDS)
    raise StackError(
        f"A PostgreSQL without a stack still runs on {home}. "
        f"End it with `kill -INT {pid}`, then start again."
    )


def _running_in(home: Path) -> str | None:
    """Return the process id of the PostgreSQL that runs on a data directory, or None."""
    try:
        pid = (home / "postmaster.pid").read_text().partition("\n")[0]
        return pid if Path(f"/proc/{pid}/cwd").resolve(strict=True) == home.resolve() else None
    except OSError:
        return None


async def _answers(url: str) -> bool:
    try:
        await _execute(url, "select 1")
    except DATABASE_ERRORS:
        return False
    return True


async def _bootstrap(url: str) -> None:
    """Run the scripts whose schema does not exist: a kept database may be older than a script."""
    connection = await asyncpg.connect(as_role(url, SUPERUSER))
    try:
        for script, schema in _SCRIPTS.items():
            if not await connection.fetchval("select to_regnamespace($1) is not null", schema):
                sql = resources.files(__package__).joinpath(script).read_text()
                await connection.execute(sql)  # one message, so one transaction
    finally:
        await connection.close()


async def _execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
