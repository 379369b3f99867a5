"""The local stack as a whole: its ports, its `.env`, and the order in which its parts start."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import signal
import tomllib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

from worker.errors import StackError
from worker.local import keys
from worker.local.gateway import gateway
from worker.local.packages import installed
from worker.local.ports import HOST, hold
from worker.local.postgres import cluster
from worker.local.postgrest import postgrest

_DEFAULT_API_PORT: Final = 54321  # as `supabase start`
_DEFAULT_DATABASE_PORT: Final = 54322


@dataclass(frozen=True)
class Ports:
    """The two public ports of the stack; 0 stands for any free one."""

    api: int
    database: int


@dataclass(frozen=True)
class StackInfo:
    """What a client needs to connect to a running stack."""

    url: str
    secret_key: str
    publishable_key: str
    service_role_jwt: str
    anon_jwt: str
    database_url: str

    @classmethod
    def read(cls, env_file: Path) -> StackInfo:
        """Read the stack back from a file that contains its `env`."""
        env = dotenv_values(env_file)
        return cls(
            url=env.get("SUPABASE_URL") or "",
            secret_key=env.get("SUPABASE_SECRET_KEY") or "",
            publishable_key=keys.PUBLISHABLE_KEY,
            service_role_jwt=keys.SERVICE_ROLE_JWT,
            anon_jwt=keys.ANON_JWT,
            database_url=env.get("SUPABASE_DB_URL") or "",
        )

    @classmethod
    def wrote(cls, env_file: Path) -> bool:
        """Return whether a file is exactly a local stack's `env`, and so may be overwritten."""
        info = cls.read(env_file)
        return info.secret_key == keys.SECRET_KEY and info.env() == env_file.read_text()

    def env(self) -> str:
        """Return the content of a `.env` file for the worker."""
        return (
            "# The local stack. Its keys are the same on every machine and protect nothing.\n"
            f"SUPABASE_URL={self.url}\n"
            f"SUPABASE_SECRET_KEY={self.secret_key}\n"
            "# For psql, and for supabase db push --yes --remote=$SUPABASE_DB_URL\n"
            "# (or `c3d-worker local --push`). The worker itself never connects to it.\n"
            f"SUPABASE_DB_URL={self.database_url}\n"
        )


def configured_ports(project: Path) -> Ports:
    """Return the ports in `supabase/config.toml` of `project`, or those of `supabase start`.

    Raises:
        StackError: the file is not TOML.
    """
    file = project / "supabase" / "config.toml"
    try:
        config = tomllib.loads(file.read_text()) if file.exists() else {}
    except tomllib.TOMLDecodeError as error:
        raise StackError(f"{file} cannot be read: {error}. Correct the file.") from error
    return Ports(
        api=int(config.get("api", {}).get("port", _DEFAULT_API_PORT)),
        database=int(config.get("db", {}).get("port", _DEFAULT_DATABASE_PORT)),
    )


@asynccontextmanager
async def local_stack(
    data: Path, ports: Ports, report: Callable[[str], None]
) -> AsyncIterator[StackInfo]:
    """Run the stack until the block ends.

    Args:
        data: the directory for rows and objects; a later start continues with them.
        ports: where it listens.
        report: called with a sentence before something that takes a while.

    Raises:
        StackError: it cannot be installed or started, or already runs on `data`.
    """
    packages = await installed(report)
    with _alone_in(data) as home, hold(ports.api, "the API") as listener:
        api_port: int = listener.getsockname()[1]
        async with (
            cluster(packages.postgres_binaries, home, ports.database) as database_url,
            postgrest(packages.postgrest, database_url, home / "postgrest.log") as rest_url,
            gateway(listener, database_url, rest_url, home / "objects"),
        ):
            yield StackInfo(
                url=f"http://{HOST}:{api_port}",
                secret_key=keys.SECRET_KEY,
                publishable_key=keys.PUBLISHABLE_KEY,
                service_role_jwt=keys.SERVICE_ROLE_JWT,
                anon_jwt=keys.ANON_JWT,
                database_url=database_url,
            )


async def serve(
    data: Path,
    ports: Ports,
    *,
    ready: Callable[[StackInfo], None],
    report: Callable[[str], None],
) -> None:
    """Run the stack until SIGINT or SIGTERM, and call `ready` once it answers.

    Raises:
        StackError: as `local_stack`.
    """
    serving = asyncio.ensure_future(_serve(data, ports, ready=ready, report=report))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await serving


async def _serve(
    data: Path,
    ports: Ports,
    *,
    ready: Callable[[StackInfo], None],
    report: Callable[[str], None],
) -> None:
    async with local_stack(data, ports, report) as info:
        ready(info)
        await asyncio.Event().wait()


@contextmanager
def _alone_in(data: Path) -> Iterator[Path]:
    data = data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    with (data / "stack.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(
                f"A local stack is already running on {data}. "
                "Stop it first, or give this one another folder with --data."
            ) from None
        yield data
