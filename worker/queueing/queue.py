"""What the claim loop asks of a queue, and of the items in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar
from uuid import UUID

from worker.errors import WorkerError


class Item(Protocol):
    """Something that was claimed."""

    @property
    def id(self) -> UUID:
        """What tells it from every other item of its queue."""

    @property
    def attempt(self) -> int:
        """How often it was claimed, this time included."""

    @property
    def abandoned(self) -> bool:
        """Whether its last lease ran out: it may be what its worker died of."""


ItemT = TypeVar("ItemT", bound=Item)


class Queue(Protocol[ItemT]):
    """A table whose rows wait until they are due, and are claimed under a lease."""

    @property
    def kind(self) -> str:
        """How log events of its items begin, and the name of the field with their id."""

    async def claim(self, claim: UUID, *, limit: int, with_abandoned: bool) -> list[ItemT]:
        """Claim up to `limit` items that are due, and one abandoned item more if wanted.

        Called again with the same `claim`, it returns the items of the first call. What has become
        due for longer than others that were claimed it may pass by, until it is to look at all.
        """

    def look_at_all(self) -> None:
        """Have the next claim pass nothing by."""

    async def extend(self, items: Sequence[ItemT]) -> Mapping[UUID, bool]:
        """Extend the leases.

        Returns:
            The items whose claim is still this worker's; False where somebody else has locked the
            item's row, so that its lease is as it was.
        """

    async def release(
        self, items: Sequence[ItemT], reason: WorkerError | None, *, delay_seconds: float = 0
    ) -> set[UUID]:
        """Give items back with what they wait for, the attempt not counted; return those given."""


def named(queue: Queue[ItemT], item: ItemT) -> Mapping[str, Any]:
    """Return what every log line of an item says."""
    return {queue.kind: str(item.id), "attempt": item.attempt}
