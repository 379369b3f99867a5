"""Sends queries to PostgREST, checks its answers, and raises this project's errors.

Sources: PostgREST's error page (https://docs.postgrest.org/en/v12/references/errors.html) and
PostgreSQL's appendix A, SQLSTATE codes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NoReturn, Protocol, TypeVar

import httpx
from postgrest import APIError

from worker.backend.unreachable import reason
from worker.errors import (
    KeyRefusedError,
    MigrationMissingError,
    RejectedError,
    UnavailableError,
)

# Not in the schema cache: relation, function, column; and their SQLSTATEs on older servers.
MISSING = frozenset({"PGRST200", "PGRST202", "PGRST204", "PGRST205", "42P01", "42883", "42703"})
REFUSED = frozenset({"PGRST301", "PGRST302", "PGRST303", "42501"})  # without an HTTP 401 or 403
BAD_VALUE = ("22", "23", "PGRST116")  # data exceptions, constraint violations, not one row
# Of PostgREST, or of the server itself: what they say names no file.
SERVERS_OWN = ("PGRST", "08", "25", "40", "53", "57", "58")

Word = TypeVar("Word", bound=StrEnum)


class Query(Protocol):
    """A request that the client library has built but not sent."""

    async def execute(self) -> Any:
        """Send the request, and return an object whose `data` is the decoded body."""


async def rows(query: Query) -> list[dict[str, Any]]:
    """Send `query` and return its rows.

    Raises:
        UnavailableError: Supabase is unavailable, or did not answer with rows; its subclasses
            `KeyRefusedError` and `MigrationMissingError` where the key or the schema is wrong.
        RejectedError: the database refused the values.
    """
    data = await _data(query)
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        _unexpected(data)
    return data


async def row(query: Query) -> dict[str, Any]:
    """Send `query`, which has one row, and return that; raises as `rows`."""
    found = await rows(query)
    if len(found) != 1:
        raise UnavailableError(f"Supabase answered {len(found):,} rows in place of one.")
    return found[0]


async def scalars(query: Query) -> list[str]:
    """Send `query`, a function that returns a set of text, and return that; raises as `rows`."""
    data = await _data(query)
    if not isinstance(data, list) or not all(isinstance(item, str) for item in data):
        _unexpected(data)
    return data


async def value(query: Query) -> Any:
    """Send `query`, a function that returns one value, and return it; raises as `rows`."""
    return await _data(query)


async def word(query: Query, *, among: type[Word]) -> Word:
    """Send `query`, a function that returns one of the words `among`; raises as `rows`."""
    data = await _data(query)
    try:
        return among(data)
    except ValueError:
        _unexpected(data)


async def _data(query: Query) -> Any:
    try:
        return (await query.execute()).data
    except APIError as error:
        raise _sorted(error) from error
    except (httpx.HTTPError, ValueError) as error:  # ValueError: the body is not text or not JSON
        raise UnavailableError(f"Supabase does not answer ({reason(error)}).") from error


def _sorted(error: APIError) -> Exception:
    """Return this project's error: is the installation, a value or the server the cause?"""
    code, message = error.code or "", (error.message or "no message").rstrip(".")
    if code in MISSING:
        return MigrationMissingError(f"The database lacks something: {message} ({code}).")
    if code in REFUSED:
        return KeyRefusedError(f"Supabase refused the key: {message} ({code}).")
    if code.startswith(BAD_VALUE):
        return RejectedError(f"The database refused the values: {message} ({code}).")
    if not code or code.startswith(SERVERS_OWN):
        return UnavailableError(f"Supabase answered an error: {message} ({code or 'no code'}).")
    # What a project's own SQL raises can name a file, and so a patient: it is not logged.
    return UnavailableError(f"Supabase answered an error ({code}).", said=message)


def _unexpected(data: object) -> NoReturn:
    """Refuse an answer of the wrong type, such as the HTML page of a gateway."""
    raise UnavailableError(f"Supabase answered something unexpected ({type(data).__name__}).")
