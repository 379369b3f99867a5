"""How long to wait before the next attempt."""

from __future__ import annotations

import random


def backoff(failures: int, *, initial: float, maximum: float) -> float:
    """Return the seconds to wait after the nth failure in a row: doubling, capped, jittered.

    The jitter, down to half, keeps workers that failed together from coming back together.
    """
    doubled = initial * 2.0 ** min(max(failures - 1, 0), 32)
    return min(doubled, maximum) * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret
