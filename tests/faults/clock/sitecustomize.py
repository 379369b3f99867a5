"""Shifts the wall clock of a process, as if somebody had set the machine's; for the fault kit.

It is imported by a Python that finds it on PYTHONPATH. The monotonic clock goes on untouched, as
it does on a real machine.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path

_right_time, _right_time_ns = time.time, time.time_ns
_file = Path(os.environ["CLOCK_FILE"]).open("rb")  # noqa: SIM115 - as long as the process
_memory = mmap.mmap(_file.fileno(), 8, prot=mmap.PROT_READ)


def _shift() -> float:
    (seconds,) = struct.unpack("d", _memory[:8])
    return float(seconds)


def _shifted_time() -> float:
    return _right_time() + _shift()


def _shifted_time_ns() -> int:
    return _right_time_ns() + int(_shift() * 1e9)


time.time, time.time_ns = _shifted_time, _shifted_time_ns
