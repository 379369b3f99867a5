"""A disk that is too small for the local stack is named as such."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.errors import StackError
from worker.local.packages import Packages
from worker.local.postgres import cluster


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mounted = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mounted, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a disk that is small")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


async def test_a_full_disk_is_named_and_not_what_initdb_removes(
    small_disk: Path, packages: Packages
) -> None:
    with pytest.raises(StackError, match="the disk is full"):
        async with cluster(packages.postgres_binaries, small_disk / "data", 0):
            pass
