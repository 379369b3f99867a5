"""Why the table takes no session, as `create_session` says it: the errors by their codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.errors import (
    PathHeldError,
    PatientUnknownError,
    SchemaRefusesError,
    UnavailableError,
    WorkerError,
)

KINDS: Mapping[str, type[WorkerError]] = {
    kind.code: kind for kind in (PathHeldError, PatientUnknownError, SchemaRefusesError)
}


def refusal_of(row: Mapping[str, Any]) -> WorkerError | None:
    """Return why there is no session; None: there is one.

    A reason that this version does not know is an UnavailableError: nothing is refused for it.
    """
    if row["code"] is None:
        return None
    return KINDS.get(row["code"], UnavailableError)(row["reason"], said=row["said"] or "")
