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
