"""Client of the installation itself: what the API serves, and what only the database knows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import httpx

from worker.backend import rest
from worker.backend.connection import Connection
from worker.backend.refusals import refusal_of
from worker.backend.unreachable import reason
from worker.errors import UnavailableError, WorkerError

FUNCTION = "/rpc/"  # prefix of the paths of functions
NOT_DESCRIBED = "PGRST126"  # PostgREST's openapi-mode is disabled


@dataclass(frozen=True, slots=True)
class Api:
    """The names that PostgREST serves to the key."""

    relations: frozenset[str]  # tables and views
    functions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Report:
    """What `installation_report()` returns, and the difference between the two clocks."""

    values: Mapping[str, Any]
    skew_seconds: float  # this machine's clock minus the database's, less the round trip


class Installation:
    """Queries how a project is set up, and changes nothing."""

    def __init__(self, connection: Connection) -> None:
        """`connection` is to the project that is queried."""
        self._connection = connection

    async def api(self) -> Api | None:
        """Ask PostgREST what it serves; None: its description is switched off.

        Raises:
            KeyRefusedError: the project refuses the key.
            UnavailableError: nothing answers, or something that is not Supabase.
        """
        http, url = self._connection.http, f"{self._connection.url}/rest/v1/"
        try:
            response = await http.get(url, headers=self._connection.headers)
            body = response.json()
        except httpx.HTTPError as error:
            raise UnavailableError(f"Supabase does not answer ({reason(error)}).") from error
        except ValueError:
            body = None
        if isinstance(body, dict) and body.get("code") == NOT_DESCRIBED:
            return None
        paths = body.get("paths") if isinstance(body, dict) else None
        if response.status_code != HTTPStatus.OK or not isinstance(paths, dict):
            raise UnavailableError(
                f"What answers there is no Supabase project (HTTP {response.status_code})."
            )
        names = [str(path) for path in paths]
        return Api(
            relations=frozenset(n[1:] for n in names if n.count("/") == 1 and n != "/"),
            functions=frozenset(n.removeprefix(FUNCTION) for n in names if n.startswith(FUNCTION)),
        )

    async def report(self) -> Report:
        """Call `installation_report()`.

        Raises:
            MigrationMissingError: the function does not exist.
            KeyRefusedError: the key may not call it.
            UnavailableError: Supabase is unavailable.
        """
        began, ticking = datetime.now(UTC), time.monotonic()
        values = await rest.value(self._connection.supabase.rpc("installation_report", {}))
        took = time.monotonic() - ticking
        if not isinstance(values, dict):
            raise UnavailableError("Supabase answered something else than a report.")
        ahead = (began - datetime.fromisoformat(values["time"])).total_seconds()
        # The database read its clock at some moment between `began` and `took` seconds later.
        return Report(values, skew_seconds=min(max(ahead, 0.0), ahead + took))

    async def trial(self) -> WorkerError | None:
        """Have a session made, claimed, completed and taken back; return what refuses it, if any.

        Raises:
            MigrationMissingError, KeyRefusedError, UnavailableError: as their names say.
        """
        return refusal_of(await rest.row(self._connection.supabase.rpc("try_session", {})))
