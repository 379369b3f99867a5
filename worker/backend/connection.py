"""One pooled HTTP client and one Supabase client on it, closed once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpx
from supabase import AsyncClient, AsyncClientOptions

from worker.errors import KeyRefusedError, UnavailableError
from worker.settings import Settings

# Spelled out because a forgotten one is infinite: seconds to connect, between two reads, …
TIMEOUT = httpx.Timeout(connect=10.0, read=30.0, write=30.0, pool=30.0)
SPARE_CONNECTIONS = 4  # beside one for each session and each upload: claims, leases, reports

REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
IN_TROUBLE = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.LOCKED, HTTPStatus.TOO_MANY_REQUESTS}
)
MAX_RETRY_AFTER = 600.0  # seconds; a longer wish is cut, so that a typo cannot stop a worker
MAX_MESSAGE = 200  # characters of a server's message that are repeated to people


@dataclass(frozen=True, slots=True)
class Connection:
    """The doors of one Supabase project, all behind the same pooled HTTP client."""

    http: httpx.AsyncClient
    supabase: AsyncClient
    url: str
    key: str = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """What the gateway wants from requests that no client library makes."""
        return {"apikey": self.key, "Authorization": f"Bearer {self.key}"}


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Connection]:
    """Open the connection pool; nothing is sent yet.

    HTTP/1.1 on purpose: an HTTP/2 connection that drops takes every request on it along, and
    leaves each of them unknown.
    """
    pool = httpx.Limits(max_connections=2 * settings.concurrency + SPARE_CONNECTIONS)
    key = settings.supabase_secret_key.get_secret_value()
    async with httpx.AsyncClient(
        timeout=TIMEOUT,
        limits=pool,
        follow_redirects=False,  # the key would go along
        event_hooks={"response": [_raise_for_trouble]},
    ) as http:
        options = AsyncClientOptions(
            httpx_client=http,
            auto_refresh_token=False,
            persist_session=False,
            postgrest_client_retry=False,  # the claim loop waits, and knows for what
        )
        yield Connection(
            http=http,
            supabase=AsyncClient(settings.supabase_url, key, options),
            url=settings.supabase_url,
            key=key,
        )


async def _raise_for_trouble(response: httpx.Response) -> None:
    """Turn an answer that says nothing about any session into the error that says so.

    It has to be done here: the client libraries drop the HTTP status on the way.
    """
    status = response.status_code
    if status in REFUSED:
        raise KeyRefusedError(f"Supabase refused the key ({await _described(response)}).")
    if status in IN_TROUBLE or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise UnavailableError(
            f"Supabase is in trouble ({await _described(response)}).",
            retry_after=_retry_after(response.headers.get("Retry-After")),
        )


async def _described(response: httpx.Response) -> str:
    """Name the status, the door, and what a JSON body says; a gateway's HTML is left out.

    It is logged, so what Storage says is left out, too: that can name a file, and so a patient.
    """
    door = response.url.path.split("/")[1] or "gateway"
    described = f"HTTP {response.status_code} from {door}"
    if door == "storage":
        return described
    try:
        await response.aread()
        body = response.json()
    except (ValueError, httpx.HTTPError):
        return described
    message = body.get("message") if isinstance(body, dict) else None
    return f"{described}: {str(message)[:MAX_MESSAGE].rstrip('.')}" if message else described


def _retry_after(header: str | None) -> float | None:
    """Read Retry-After, in seconds or as a date (RFC 9110, 10.2.3)."""
    if header is None:
        return None
    try:
        if header.strip().isdecimal():
            seconds = float(header)
        else:
            seconds = (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):  # no date, or one without a zone
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
