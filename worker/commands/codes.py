"""The error codes by which `requeue` and `retake` pick, and which of them may be meant."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

import typer

from worker.errors import PermanentError, RetryableError, WorkerError
from worker.extraction import errors as _  # noqa: F401 - what a recording can be refused for

BY_THE_DATABASE = frozenset({"worker_died", "duplicate_content"})  # its functions fail sessions
NO_CODE = "unknown"  # what requeue_sessions calls the code of an error that has none
NEAREST = 3  # codes to choose from


def known_codes() -> frozenset[str]:
    """Return every code of this version with which a session can fail or an upload be refused."""
    errors = (*_below(PermanentError), *_below(RetryableError))
    raised = frozenset(each.code for each in errors if each.cure)  # others only group them
    return raised | BY_THE_DATABASE | {NO_CODE}


def refuse_unknown(code: str) -> None:
    """Refuse a code that nothing has; one of another program, or of an older version, some may.

    So the caller first looks whether there are any.

    Raises:
        BadParameter: this version does not know the code.
    """
    known = known_codes()
    if code not in known:
        near = " or ".join(get_close_matches(code, sorted(known), n=NEAREST))
        meant = f"is {near} meant? " if near else ""
        raise typer.BadParameter(
            f"Nothing to try again has the error code {code!r}: {meant}"
            "`c3d-worker status` counts what failed or was refused by code."
        )


def _below(kind: type[WorkerError]) -> Iterator[type[WorkerError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)
