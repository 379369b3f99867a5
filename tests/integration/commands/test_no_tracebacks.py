"""A wrong file, folder or terminal is one sentence, and never a traceback."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from worker.local.recordings import ghostly_recording
from worker.settings import settings_names

NOBODY = 65534
LESS_THAN_ROOT = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
SETTINGS = "SUPABASE_URL=http://127.0.0.1:1\nSUPABASE_SECRET_KEY=sb_secret_planted\n"
INTERRUPTED = """
import os, signal, sys

class Interrupting:
    def find_spec(name, *_):
        if name == {!r}:
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # as from a terminal
sys.meta_path.insert(0, Interrupting)
from worker.__main__ import main
main()
"""


async def said(
    folder: Path,
    *arguments: str,
    as_nobody: bool = False,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> tuple[int | None, str, str]:
    """Run a command; return its exit code, what it printed and what it complained of."""
    inherited = {k: v for k, v in os.environ.items() if k not in settings_names()}
    process = await asyncio.create_subprocess_exec(
        *(LESS_THAN_ROOT if as_nobody and os.geteuid() == 0 else []),
        *[sys.executable, "-m", "worker", *arguments],
        cwd=folder,
        env={**inherited, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        printed, complained = await process.communicate()
    assert b"Traceback" not in complained, complained.decode()
    return process.returncode, printed.decode("latin-1"), complained.decode("latin-1")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder into which others may look and nobody write, with a `.env` that nobody may read."""
    made = Path(tempfile.mkdtemp())
    (made / ".env").write_text(SETTINGS)
    (made / ".env").chmod(0o000)
    made.chmod(0o555)
    yield made
    made.chmod(0o755)
    shutil.rmtree(made)


async def test_an_env_file_that_may_not_be_read(folder: Path) -> None:
    code, _, complained = await said(folder, "status", as_nobody=True)
    assert (code, complained) == (2, f"setup: {folder}/.env: Permission denied.\n")


async def test_a_folder_that_migrations_may_not_be_written_to(folder: Path) -> None:
    code, _, complained = await said(folder, "migrations", "--to", "new", as_nobody=True)
    assert (code, complained) == (2, "setup: new: Permission denied.\n")


async def test_a_folder_that_the_local_stack_may_not_write_to(folder: Path) -> None:
    code, _, complained = await said(folder, "local", "--free-ports", as_nobody=True)
    assert code == 2
    assert "Permission denied" in complained


async def test_an_env_file_of_the_local_stack_in_a_folder_that_is_not_there(
    tmp_path: Path,
) -> None:
    arguments = ("local", "--free-ports", "--data", "data", "--env-file", "missing/.env")
    code, _, complained = await said(tmp_path, *arguments)
    assert code == 2
    assert complained.startswith("local_stack: missing/.env cannot be written: ")
    assert os.listdir(tmp_path) == []  # noqa: PTH208


@pytest.mark.parametrize("imported", ["typer", "pydantic", "rich"])
async def test_ctrl_c_while_a_command_is_still_beginning(tmp_path: Path, imported: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-c", INTERRUPTED.format(imported), "status"],
        cwd=tmp_path,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, complained = await process.communicate()
    assert (process.returncode, complained) == (130, b"")


async def test_a_terminal_that_is_not_utf_8_shows_what_it_can(tmp_path: Path) -> None:
    (tmp_path / "王.c3d").write_bytes(ghostly_recording(seconds=1.0))
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for encoding in ({**plain}, {"PYTHONIOENCODING": "latin-1"}):
        code, printed, _ = await said(
            tmp_path, "inspect", "--statistics", str(tmp_path / "王.c3d"), environment=encoding
        )
        assert code == 0
        assert "990 Hz" in printed


@pytest.mark.parametrize("command", ["inspect", "ingest", "demo"])
async def test_a_pipe_is_no_file(tmp_path: Path, command: str) -> None:
    os.mkfifo(tmp_path / "pipe.c3d")
    code, _, complained = await said(tmp_path, command, "pipe.c3d")
    assert code == 2
    assert "pipe.c3d is not a file" in complained
