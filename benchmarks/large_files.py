"""Recordings of any length, written piece by piece."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worker.local.recordings import recording

CHANNELS, SAMPLES_PER_FRAME = 50, 100
FRAME_RATE = 20.0  # Hz, so 2,000 Hz for each channel
FRAME_BYTES = CHANNELS * SAMPLES_PER_FRAME * 4
PIECE = 250  # frames


def write_recording(path: Path, million_bytes: int) -> None:
    """Write a recording of so many million bytes: noise, the same piece again and again."""
    frames = million_bytes * 1_000_000 // FRAME_BYTES
    rows = SAMPLES_PER_FRAME * PIECE
    noise = np.random.default_rng(million_bytes).normal(0, 1e-4, (rows, CHANNELS))
    whole = recording(
        noise,
        samples_per_frame=SAMPLES_PER_FRAME,
        frame_rate=FRAME_RATE,
        groups={"POINT": {"FRAMES": frames}},
        header={"last": frames},
    )
    head, piece = whole[: -PIECE * FRAME_BYTES], whole[-PIECE * FRAME_BYTES :]
    with path.open("wb") as file:
        file.write(head)
        for begin in range(0, frames, PIECE):
            file.write(piece[: min(PIECE, frames - begin) * FRAME_BYTES])
