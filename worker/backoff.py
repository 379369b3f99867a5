"""How long to wait before trying again."""

from __future__ import annotations

import random


def backoff(failures: int, *, first: float, most: float) -> float:
    """Seconds to wait after the nth failure in a row: doubling, capped, jittered to half.

    The jitter keeps workers that failed together from coming back together.
    """
    doubled = first * 2.0 ** min(max(failures - 1, 0), 32)
    return min(doubled, most) * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret
