"""How far back a claim has to look: each answer says it for the next claim.

While any transaction is open, the index of a queue keeps an entry of each item that was claimed
since, and a claim that begins with the oldest walks through all of them. What commits late may be
due for longer than where the next claim begins: so now and then one looks at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Horizon:
    """Where the next claim begins; at first, and whenever it is forgotten, it looks at all."""

    def __init__(self, everything: Mapping[str, str]) -> None:
        """`everything` are the arguments of a claim that looks at all.

        The last row of an answer has the same names, with `next_` before.
        """
        self._everything = everything
        self._since = everything

    def forget(self) -> None:
        """Have the next claim look at all."""
        self._since = self._everything

    def arguments(self) -> Mapping[str, str]:
        """Return what the next claim has to be told."""
        return self._since

    def move(self, answer: Mapping[str, Any]) -> None:
        """Take over what the last row of an answer says."""
        self._since = {name: answer[f"next_{name}"] for name in self._everything}


def of_sessions() -> Horizon:
    """Where a claim of sessions begins."""
    return Horizon({"waiting_since": "-infinity", "abandoned_since": "-infinity"})


def of_uploads() -> Horizon:
    """Where a claim of uploads begins."""
    return Horizon(
        {"due_since": "-infinity", "newest_since": "-infinity", "newest_until": "infinity"}
    )
