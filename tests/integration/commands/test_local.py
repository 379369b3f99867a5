"""`c3d-worker local`: what it prints is enough to go on with."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from tests.integration.command_line import command
from worker.local.stack import StackInfo


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize(("options", "exit_code"), [(("--push",), 0), ((), 1)])
async def test_a_pushed_stack_is_all_a_worker_needs(
    tmp_path: Path, options: tuple[str, ...], exit_code: int
) -> None:
    env_file = tmp_path / "written.env"
    arguments = ["--free-ports", "--data", "data", "--env-file", str(env_file), *options]
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "worker", "local", *arguments],
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(60):
            while line := await process.stderr.readline():
                if line.startswith(b"Ready."):
                    break
        code, printed, _ = await command(StackInfo.read(env_file), tmp_path, "check")
    finally:
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert code == exit_code, printed
    assert env_file.read_text() in out.decode()
    assert b"Traceback" not in err
    assert process.returncode == 0


async def test_another_projects_env_file_is_not_overwritten(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    project = "SUPABASE_URL=https://a.supabase.co\nSUPABASE_SECRET_KEY=sb_secret_planted\n"
    env_file.write_text(project)
    code, _, said = await _local(tmp_path)
    assert code == 2
    assert said.startswith("file_differs: ")
    assert "planted" not in said
    assert env_file.read_text() == project
    assert not (tmp_path / "data").exists()


@pytest.mark.usefixtures("packages")
async def test_with_force_another_projects_env_file_is_kept_beside(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    for project in ("SUPABASE_SECRET_KEY=first\n", "SUPABASE_SECRET_KEY=second\n"):
        env_file.write_text(project)
        code, _, said = await _local(tmp_path, "--force")
        assert code == 0, said
    assert StackInfo.wrote(env_file)
    kept = [tmp_path / ".env.old", tmp_path / ".env.old1"]
    assert [each.read_text() for each in kept] == [
        "SUPABASE_SECRET_KEY=first\n",
        "SUPABASE_SECRET_KEY=second\n",
    ]


@pytest.mark.usefixtures("packages")
async def test_its_own_env_file_is_written_anew(tmp_path: Path) -> None:
    for _ in range(2):
        code, _, said = await _local(tmp_path)
        assert code == 0, said
    assert _names(tmp_path) == [".env", "data"]


async def _local(folder: Path, *options: str) -> tuple[int | None, str, str]:
    """Run `local --env-file .env` in `folder` until it is ready, or ends by itself."""
    arguments = ["--free-ports", "--data", "data", "--env-file", ".env", *options]
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "worker", "local", *arguments],
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    said = b""
    async with asyncio.timeout(60):
        while line := await process.stderr.readline():
            said += line
            if line.startswith(b"Ready."):
                process.send_signal(signal.SIGINT)
    out, _ = await process.communicate()
    return process.returncode, out.decode(), said.decode()


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
