"""What a reader made of a shape: right, wrong, refused, crash or hang."""

from __future__ import annotations

import json
import math
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.conformance.shape import Row, Shape

SECONDS = 20  # of processor time, for one file
WALL_SECONDS = 10 * SECONDS  # on a busy machine, or for a reader that waits for nothing
MEGABYTES = 2000  # of address space
PRECISION = 1.01e-3  # relative, of a rate: a measured one may stand for a nominal one


def agrees(found: Row, right: Row) -> bool:
    """Whether two rows say the same; a name that is missing is blank."""
    found["names"] += [""] * (found["channels"] - len(found["names"]))
    return all(_is_same(found[name], value) for name, value in right.items())


def _is_same(found: Any, right: Any) -> bool:
    if isinstance(found, float) and isinstance(right, float):
        return math.isclose(found, right, rel_tol=PRECISION)
    return bool(found == right)


def outcome(shape: Shape, found: Row | None, *, warned: bool = False) -> str:
    """Judge an answer; None is a refusal, and so is a wrong one that came with a warning."""
    if found is not None and shape.row is not None and agrees(found, shape.row):
        return "right"
    if found is not None and not warned:
        return "wrong"
    return "right" if shape.row is None or shape.may_refuse else "refused"


def outcome_in_child(shape: Shape, reader: str, file: Path) -> str:
    """Have a child with limits read the shape's `file`, and judge its answer."""
    command = [sys.executable, "-m", "tests.conformance.readers", reader, str(file)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=WALL_SECONDS,
            preexec_fn=_limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "hang"
    if done.returncode != 0:
        return "hang" if done.returncode == -signal.SIGXCPU else "crash"
    answer = json.loads(done.stdout.splitlines()[-1])
    return outcome(shape, answer.get("row"), warned=bool(answer.get("warned")))


def _limit() -> None:
    limit = MEGABYTES * 1_000_000
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
