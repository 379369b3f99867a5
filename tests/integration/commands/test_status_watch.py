"""`c3d-worker status --watch` is honest on a low screen, and without one."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import struct
import sys
import termios
from pathlib import Path

from tests.faults.proxy import Proxy
from tests.faults.rules import say
from tests.integration.command_line import started
from tests.integration.harness import Harness
from tests.integration.queue_calls import add

CLEAR = "\x1b[1A"  # how the next frame takes the place of the last


async def until(stream: asyncio.StreamReader, words: str) -> str:
    """Read until these words, and return everything since the start."""
    read = b""
    async with asyncio.timeout(30):
        while words.encode() not in read:
            more = await stream.read(4096)
            assert more, read.decode()
            read += more
    return read.decode()


async def test_without_a_terminal_each_look_is_a_frame_of_its_own(
    harness: Harness, tmp_path: Path
) -> None:
    process = await started(harness.stack, tmp_path, "status", "--watch", TERM="dumb")
    assert process.stdout is not None
    assert "connected" in await until(process.stdout, "0 pending")
    await add(harness.database)
    await until(process.stdout, "1 pending")
    process.send_signal(signal.SIGINT)
    _, complained = await process.communicate()
    assert (process.returncode, complained) == (0, b"")


async def test_an_outage_stands_above_the_old_numbers_on_a_low_screen(
    harness: Harness, tmp_path: Path
) -> None:
    for number in range(12):
        await add(
            harness.database,
            processing_status="failed",
            processing_error=f"rejected: No {number}.",
        )
    async with Proxy(harness.stack).serve() as proxy:
        screen, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        environment = {
            **os.environ,
            "SUPABASE_URL": proxy.stack.url,
            "SUPABASE_SECRET_KEY": proxy.stack.secret_key,
            "TERM": "xterm",
        }
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "worker", "status", "--watch"],
            cwd=tmp_path,
            env=environment,
            stdout=terminal,
            stderr=terminal,
        )
        os.close(terminal)
        shown = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(shown), os.fdopen(screen, "rb", buffering=0)
        )
        try:
            await until(shown, "connected")
            with proxy.trouble("/rpc/queue_report$", say(503)):
                frames = await until(shown, "supabase_unavailable")
        finally:
            process.send_signal(signal.SIGINT)
            await process.wait()
            transport.close()
    last = frames.rpartition(CLEAR)[2]
    assert "NOT CONNECTED: supabase_unavailable" in last.splitlines()[0]
