"""One pooled HTTP client and one Supabase client on it, closed once."""

from __future__ import annotations

import re
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

TIMEOUT = httpx.Timeout(connect=10.0, read=30.0, write=30.0, pool=30.0)  # seconds
SPARE_CONNECTIONS = 4  # besides one per session and one per upload: claims, leases, reports

REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
IN_TROUBLE = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.LOCKED, HTTPStatus.TOO_MANY_REQUESTS}
)
MAX_RETRY_AFTER = 600.0  # seconds; a longer request is cut, so that a mistake stops no worker
SQLSTATE = re.compile(r"[0-9A-Z]{5}")
MAX_MESSAGE = 200  # characters of a server's message that an error repeats


@dataclass(frozen=True, slots=True)
class Connection:
    """The clients of one Supabase project, which share one pooled HTTP client."""

    http: httpx.AsyncClient
    supabase: AsyncClient
    url: str
    key: str = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """The headers that a request without a client library needs at the gateway."""
        return {"apikey": self.key, "Authorization": f"Bearer {self.key}"}


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Connection]:
    """Open the connection pool, and close it at the end; no request is sent.

    HTTP/1.1 on purpose: an HTTP/2 connection that breaks takes every request on it along, each with
    an unknown outcome.
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
            postgrest_client_retry=False,  # the claim loop retries, with backoff
        )
        yield Connection(
            http=http,
            supabase=AsyncClient(settings.supabase_url, key, options),
            url=settings.supabase_url,
            key=key,
        )


async def _raise_for_trouble(response: httpx.Response) -> None:
    """Raise the error for a response that says nothing about any session.

    The client libraries drop the HTTP status, and take a body without a byte for no rows, so this
    hook has to check both.

    Raises:
        KeyRefusedError: HTTP 401 or 403.
        UnavailableError: HTTP 408, 423, 429 or 5xx; or 200 from PostgREST without a body.
    """
    status = response.status_code
    if status in REFUSED:
        described, said = await _described(response)
        raise KeyRefusedError(f"Supabase refused the key ({described}).", said=said)
    if status in IN_TROUBLE or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        described, said = await _described(response)
        raise UnavailableError(
            f"Supabase is in trouble ({described}).",
            said=said,
            retry_after=_retry_after(response.headers.get("Retry-After")),
        )
    is_rest = response.url.path.startswith("/rest/")
    if is_rest and status == HTTPStatus.OK and not await response.aread():
        raise UnavailableError("Supabase answered without a body.")


async def _described(response: httpx.Response) -> tuple[str, str]:
    """Describe a response: for the log, and what it said that may name a file or a patient.

    That may be whatever Storage says, and whatever the SQL of a project raises. What is logged is
    the status, the service, a SQLSTATE, and the messages of the gateway and of PostgREST itself. A
    page of HTML, which comes from a gateway, is left out.
    """
    service = response.url.path.split("/")[1] or "gateway"
    described = f"HTTP {response.status_code} from {service}"
    try:
        await response.aread()
        body = response.json()
    except (ValueError, httpx.HTTPError):
        body = None
    if not isinstance(body, dict):
        return described, ""
    code, message = str(body.get("code") or ""), str(body.get("message") or "")[:MAX_MESSAGE]
    message = message.rstrip(".")
    if service == "storage":
        return described, message
    if SQLSTATE.fullmatch(code):
        return f"{described}: {code}", message
    return (f"{described}: {message}" if message else described), ""


def _retry_after(header: str | None) -> float | None:
    """Read Retry-After, in seconds or as a date (RFC 9110, 10.2.3)."""
    if header is None:
        return None
    try:
        if header.strip().isdecimal():
            seconds = float(header)
        else:
            seconds = (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):  # not a date, or one without a time zone
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
