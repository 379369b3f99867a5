"""The worker's own machine: its clock jumps, its disk is full."""

from __future__ import annotations

import asyncio
import os
import struct
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID

import pytest

from tests.faults.harness import Harness
from tests.faults.scenario import Plan, Scenario, full_only

CLOCK = Path(__file__).parent / "clock"
HOUR = 3600.0  # seconds
DISK = 4 << 20  # bytes

pytestmark = pytest.mark.timeout(240)


@full_only
@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
async def test_a_clock_that_jumps_loses_nothing(
    harness: Harness, tmp_path: Path, jump: float
) -> None:
    clock = tmp_path / "clock"
    clock.write_bytes(struct.pack("d", 0.0))

    async def fault(scenario: Scenario) -> Sequence[UUID]:
        # Every child is reading a recording when it happens.
        children = [child for member in (0, 1) for child in scenario.children(member)]
        for child in children:
            child.suspend()
        await asyncio.sleep(1.0)
        affected = await scenario.active()
        with clock.open("r+b") as file:  # the same inode: the workers have it mapped
            file.write(struct.pack("d", jump))
        await asyncio.sleep(0.5)
        for child in children:
            if child.is_running():
                child.resume()
        return affected

    settings = {"PYTHONPATH": str(CLOCK), "CLOCK_FILE": str(clock)}
    direction = "forward" if jump > 0 else "back"
    name = f"clock jumps an hour {direction}"
    await harness.run_fault(name, fault, Plan(settings=settings), attempts=0)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mounted, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a disk that is small")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_a_full_disk_is_no_sessions_fault(harness: Harness, small_disk: Path) -> None:
    async def fault(_scenario: Scenario) -> None:
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass
        await asyncio.sleep(5.0)
        filler.unlink()

    plan = Plan(settings={"TMPDIR": str(small_disk)})
    await harness.run_fault("temporary folder full", fault, plan, attempts=0)
