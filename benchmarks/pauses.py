"""How long to wait between sessions, or uploads, that arrive one at a time."""

from __future__ import annotations

import random

SETTLE = 1.0  # seconds for who just started
BETWEEN = (0.1, 0.7)  # seconds; Realtime looks at its feed every tenth of one


def pauses(count: int) -> list[float]:
    """Return so many pauses, in random order, that fall evenly between Realtime's looks.

    Wholly at random a median of 75 would come out some 5 ms too early or too late, a quarter of
    what two workers may differ by.
    """
    low, high = BETWEEN
    spread = [low + (high - low) * (number + 0.5) / count for number in range(count)]
    random.shuffle(spread)
    return spread
