"""Whose fault it is that an upload has no session: its own, its surroundings', or the table's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.errors import (
    FileBeyondIntegerError,
    ObjectRefusedError,
    PathHeldError,
    PatientUnknownError,
    RowRefusedError,
    SchemaRefusesError,
    SizeMismatchError,
    UnavailableError,
    WorkerError,
)

# For these an upload is refused, for the last in the end; for everything else it waits.
OWN_FAULTS = (ObjectRefusedError, FileBeyondIntegerError, SizeMismatchError)
# What `take_object` and `create_session` answer.
KINDS: Mapping[str, type[WorkerError]] = {
    kind.code: kind
    for kind in (PathHeldError, PatientUnknownError, RowRefusedError, SchemaRefusesError)
}


def refusal_of(row: Mapping[str, Any]) -> WorkerError | None:
    """Return why there is no session; None: there is one.

    A reason that this version does not know is an UnavailableError: nothing is refused for it.
    """
    if row["code"] is None:
        return None
    return KINDS.get(row["code"], UnavailableError)(row["reason"], said=row["said"] or "")
