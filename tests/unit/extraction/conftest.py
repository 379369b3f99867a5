"""What several tests of the extraction share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from worker.extraction.statistics import ChannelStatistics, channel_statistics


@pytest.fixture
def measure(tmp_path: Path) -> Any:
    """Statistics of a file given as bytes."""

    def measured(file: bytes) -> tuple[ChannelStatistics, ...]:
        path = tmp_path / "recording.c3d"
        path.write_bytes(file)
        return channel_statistics(path)

    return measured
