"""Why the table takes no session, as `create_session` says it: the errors by their codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.errors import PathHeldError, PatientUnknownError, SchemaRefusesError, UnavailableError

KINDS = {kind.code: kind for kind in (PathHeldError, PatientUnknownError, SchemaRefusesError)}


def raise_refusal(row: Mapping[str, Any]) -> None:
    """Raise why there is no session, if there is none.

    Raises:
        PatientUnknownError, PathHeldError, SchemaRefusesError: as their names say.
        UnavailableError: for a reason that this version does not know.
    """
    if row["code"] is None:
        return
    kind = KINDS.get(row["code"], UnavailableError)
    raise kind(row["reason"], said=row["said"] or "")
