"""Writes `docs/errors.md` from `worker/errors.py`.

Run it with `.venv/bin/python docs/generate_errors.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from worker.errors import (
    PermanentError,
    RetryableError,
    SetupError,
    UnavailableError,
    WorkerError,
)

PAGE = Path(__file__).resolve().parent / "errors.md"

HEAD = """\
# Errors

<!-- Written by docs/generate_errors.py from worker/errors.py. Do not edit it here. -->

Every error has a code that does not change and a sentence that says what happened and what helps.
You meet it in `processing_error` of a session, in `detail` of `storage_intake`, in the log as
`code`, or on the terminal.

A session stands for one content, byte for byte. So there are two ways on:

- **The file itself was bad**, and a better one was uploaded, under the same name or another: that
  is another content and gets a session of its own. The failed one stays until you
  [delete it](operate.md#delete-a-recording).
- **Something around it was bad**, such as a limit or a missing object: after the cure have the
  session tried again with `c3d-worker requeue ID`, or all of one code with
  `c3d-worker requeue --failed --code CODE`. In SQL: `select requeue_session('ID', 'why');`. One
  that failed with `object_missing`, `size_mismatch` or `hash_mismatch` is tried again by itself
  when its content is uploaded.

Where a cure says `supabase db push`, a hosted project wants `supabase db push --remote`
([quick-start.md](quick-start.md), step 2).
"""

KINDS: dict[type[WorkerError], tuple[str, str]] = {
    PermanentError: (
        "Fails at once",
        (
            "Trying again cannot help. The session is `failed`; an upload that can have no "
            "session is `refused` in `storage_intake`."
        ),
    ),
    RetryableError: (
        "Tried again, then fails",
        (
            "It may heal by itself. The session is `pending` again and waits a little longer "
            "after each try; after `MAX_ATTEMPTS` tries it is `failed`."
        ),
    ),
    UnavailableError: (
        "Nobody's fault: the worker waits",
        (
            "Supabase or the worker's machine is in trouble. No session fails and no try is "
            "counted. The worker claims nothing for at most half a minute, looks again, and so "
            "goes on by itself. Only at its start it ends with exit code 2, and systemd starts "
            "it again; so do the other commands. One exception: a session that meets such "
            "trouble again and again while others get through is itself to blame, and from the "
            "fourth time on its tries are counted."
        ),
    ),
    SetupError: (
        "The command or the installation",
        "No session is concerned. The command ends with exit code 2.",
    ),
}

IN_THE_SENTENCE = "The sentence itself says it."

FROM_SQL = {
    "worker_died": (
        "Workers stopped while they had this session, as often as it may be tried. `failed`.",
        "Inspect its file offline with `c3d-worker inspect`, then requeue it.",
    ),
    "duplicate_content": (
        (
            "Another session, named in the sentence, holds the same recording, byte for byte. "
            "This is found only for sessions of the old system, when their true hash is "
            "measured. `failed`."
        ),
        "Use that one. This session can be deleted.",
    ),
    "requeued": (
        (
            "Somebody, or an upload of its recording, had the session tried again; the reason "
            "follows. `pending`, no error."
        ),
        "Nothing. It goes away when the session is completed.",
    ),
    "legacy_status": (
        (
            "The migration found a status of the old system, which the sentence keeps. "
            "`pending`, no error."
        ),
        "Nothing. It goes away when the session is completed.",
    ),
}


def concrete(kind: type[WorkerError]) -> Iterator[type[WorkerError]]:
    """The errors of a kind that can be met, in the order of `worker/errors.py`."""
    if "code" in vars(kind) and (kind.cure or not kind.__subclasses__()):
        yield kind
    for each in kind.__subclasses__():
        yield from concrete(each)


def errors() -> str:
    """The page."""
    parts = [HEAD]
    for kind, (title, meaning) in KINDS.items():
        rows = [
            (error.code, _sentence(error), error.cure or IN_THE_SENTENCE)
            for error in concrete(kind)
        ]
        parts.append(f"## {title}\n\n{meaning}\n\n{_table(rows)}")
    rows = [(code, when, cure) for code, (when, cure) in FROM_SQL.items()]
    parts.append(f"## Written by the database\n\n{_table(rows)}")
    return "\n".join(parts)


def _sentence(error: type[WorkerError]) -> str:
    return " ".join((error.__doc__ or "").split())


def _table(rows: list[tuple[str, str, str]]) -> str:
    lines = [f"| `{code}` | {when} | {cure} |\n" for code, when, cure in rows]
    return "| code | when it happens | what to do |\n|---|---|---|\n" + "".join(lines)


if __name__ == "__main__":
    PAGE.write_text(errors(), encoding="utf-8")
