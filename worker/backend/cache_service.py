"""The analytics cache: what was computed once for a content, and how often it was used.

What is kept is the channels' statistics, under a key of their own in `analytics_cache`. They are
written in the same transaction as the technical row (`complete_session`), and say which version
computed them: another version is answered nothing, and computes anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from supabase import AsyncClient

from worker.backend import rest
from worker.errors import UnavailableError


class CacheService:
    """Counts hits, and keeps statistics by their content's SHA-256."""

    def __init__(self, supabase: AsyncClient) -> None:
        """`supabase` has the service key."""
        self._supabase = supabase

    async def hit(self, session: UUID) -> None:
        """Count that `session` was found instead of made anew, and note when."""
        await self._value("count_cache_hit", session=str(session))

    async def get(self, file_hash: str, version: int) -> dict[str, Any] | None:
        """Return the statistics that `version` computed, and count the hit; None: there are none.

        Raises:
            UnavailableError: Supabase is in trouble.
        """
        found = await self._value("cached_statistics", file_hash=file_hash, version=version)
        if found is not None and not isinstance(found, dict):
            raise UnavailableError(f"The cache answered something else ({type(found).__name__}).")
        return found

    async def put(self, file_hash: str, statistics: Mapping[str, Any]) -> bool:
        """Keep statistics with their `version`; False: no session has that content.

        Raises:
            RejectedError: they are larger than 64 KB, or say no version.
            UnavailableError: Supabase is in trouble.
        """
        return bool(
            await self._value("cache_statistics", file_hash=file_hash, statistics=dict(statistics))
        )

    async def invalidate(self, file_hash: str) -> bool:
        """Forget the statistics of a content; False: there were none."""
        return bool(await self._value("invalidate_statistics", file_hash=file_hash))

    async def _value(self, function: str, **arguments: Any) -> Any:
        return await rest.value(self._supabase.rpc(function, arguments))
