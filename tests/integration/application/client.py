"""The application's requests to the API, as its people send them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from worker.local import keys
from worker.local.stack import StackInfo

THERAPIST: Final = "00000000-0000-4000-8000-000000000001"
OTHER_THERAPIST: Final = "00000000-0000-4000-8000-000000000002"
RESEARCHER: Final = "00000000-0000-4000-8000-000000000003"
ADMIN: Final = "00000000-0000-4000-8000-000000000004"
SERVICE: Final = "service_role"
ANON: Final = "anon"
PEOPLE: Final = {
    "therapist": THERAPIST,
    "other therapist": OTHER_THERAPIST,
    "researcher": RESEARCHER,
    "admin": ADMIN,
    "service": SERVICE,
    "anon": ANON,
}
HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answers."""

    status: int
    body: Any
    counted: str = ""  # rows in all


@dataclass(frozen=True, slots=True)
class Application:
    """Sends requests as one of PEOPLE."""

    stack: StackInfo
    http: httpx.AsyncClient

    async def ask(
        self, who: str, what: str, *, method: str = "GET", values: Mapping[str, Any] | None = None
    ) -> Answer:
        """Send one request; of writing it asks the rows back, as its client does."""
        answer = await self.http.request(
            method,
            f"{self.stack.url}/rest/v1/{what}",
            headers={
                "apikey": self.stack.publishable_key,
                "Authorization": f"Bearer {_token(who)}",
                "Prefer": "return=representation, count=exact",
            },
            json=values,
        )
        counted = answer.headers.get("content-range", "").rpartition("/")[2]
        return Answer(answer.status_code, json.loads(answer.text or "null"), counted)

    async def until_served(self, what: str) -> None:
        """Wait until the API has read the schema, in which this can be read."""
        async with asyncio.timeout(10.0):
            while (await self.ask(SERVICE, what)).status >= httpx.codes.BAD_REQUEST:
                await asyncio.sleep(0.02)


def _token(who: str) -> str:
    known = {SERVICE: keys.SERVICE_ROLE_JWT, ANON: keys.ANON_JWT}
    return known.get(who) or keys.sign({"role": "authenticated", "sub": who}, HOUR)
