"""Writes `docs/errors.md` from the modules `errors` of `worker` and of its packages.

Run it with `.venv/bin/python docs/generate_errors.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import worker.dry_run.errors  # its errors are found as subclasses
import worker.extraction.errors  # noqa: F401 - likewise
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

Every error has a code that never changes and a sentence that says what happened and how to cure
it. You find it in `what_to_do` of `session_overview` and `upload_overview`, in `processing_error`
of a session, in `detail` of `storage_intake`, in the log as `code`, or on the terminal.

A session stands for one content, byte for byte. So there are two cases:

- **The file itself was bad.** Upload a better one, under the same name or another: it has another
  content, so it gets a session of its own. The failed session stays until you
  [delete it](operate.md#delete-a-recording).
- **Something else was wrong**, such as a limit or a missing object. After the cure, requeue the
  session with `c3d-worker requeue SESSION`, or all sessions with one code with
  `c3d-worker requeue --failed --code CODE`. In SQL: `select requeue_session('ID', 'why');`. After
  `object_missing`, `object_refused`, `size_mismatch` or `hash_mismatch` the worker requeues the
  session itself when its content is uploaded.

An upload that waits is attempted again by itself, at most an hour later. `c3d-worker retake OBJECT`
makes it due at once, and has a refused one taken in anew.

Where a cure says `supabase db push`, a hosted project needs `supabase db push --remote`
([quick-start.md](quick-start.md), step 2).

## Whose fault it is

Only an answer that names the object's own fault refuses an upload. An answer that nobody has heard
of is Supabase's trouble: while it meets everything, the worker pauses and probes; what it meets
alone is put off alone, up to an hour between attempts.
"""

# What was answered; whose fault it is; the code; what becomes of an upload, and of a session.
FAULTS = (
    ("the recording: it cannot be read", "the file's", "c3d_…", "", "failed"),
    (
        "Storage: `InvalidKey`, with any status; or a path that no object can have",
        "the file's",
        "object_refused",
        "refused",
        "failed",
    ),
    ("Storage: more than 2,147,483,647 bytes", "the file's", "file_beyond_integer", "refused", ""),
    (
        "Storage: 200 with another number of bytes, or 416",
        "the file's, if it stays so",
        "size_mismatch",
        "waits; the tenth time in a row refused",
        "retried, then failed",
    ),
    (
        "Storage: `NoSuchKey`, or `Object not found` with `statusCode` 404",
        "its surroundings'",
        "object_missing",
        "waits",
        "retried, then failed",
    ),
    (
        "Storage: 200 with other bytes of the same number",
        "its surroundings'",
        "hash_mismatch",
        "",
        "retried, then failed",
    ),
    (
        "Storage: `NoSuchBucket`, or `Bucket not found` with `statusCode` 404",
        "the installation's",
        "bucket_missing",
        "waits",
        "waits",
    ),
    (
        "any: HTTP or `statusCode` 401 or 403; `InvalidJWT`; PGRST301 to 303; 42501",
        "the installation's",
        "key_refused",
        "waits",
        "waits",
    ),
    (
        "PostgREST: PGRST200, 202, 204, 205; 42P01, 42883, 42703",
        "the installation's",
        "migration_missing",
        "waits",
        "waits",
    ),
    ("inserting a session: 23505 on `file_hash`", "nobody's", "", "ends as `duplicate`", ""),
    (
        "inserting a session: 23503 on `patient_id`",
        "its surroundings'",
        "",
        "has its session, whose patient is filled later",
        "",
    ),
    (
        "inserting a session: 23502 on `patient_id`",
        "its surroundings'",
        "patient_unknown",
        "waits",
        "",
    ),
    ("inserting a session: 23505 on `file_path`", "its surroundings'", "path_held", "waits", ""),
    (
        "inserting a session: 23502, 23503, 23514, 22xxx, 42883, 42501, P0001, or any other",
        "the installation's",
        "schema_refuses",
        "waits",
        "",
    ),
    (
        "changing a session: the same",
        "the installation's",
        "row_refused",
        "waits",
        "waits, see `set_aside`",
    ),
    ("writing the technical row: 22xxx, 23xxx", "the installation's", "rejected", "", "failed"),
    (
        "PostgreSQL: a row that somebody else has locked (55P03)",
        "nobody's",
        "",
        "waits some seconds",
        "passed by, its lease kept",
    ),
    (
        "PostgreSQL, to whatever: classes 08, 25, 40, 53, 57, 58 and XX; 55006",
        "Supabase's",
        "supabase_unavailable",
        "waits",
        "waits",
    ),
    (
        "any: HTTP 408, 423, 429, 5xx; a redirect; a gateway's page; 200 without a body; no answer",
        "Supabase's",
        "supabase_unavailable",
        "waits",
        "waits",
    ),
    (
        "Storage: anything else, such as `TenantNotFound` or `InternalError`, with any status",
        "Supabase's",
        "supabase_unavailable",
        "waits",
        "waits",
    ),
    (
        "an internal error of the worker",
        "the worker's",
        "unexpected",
        "waits",
        "retried, then failed",
    ),
)

KINDS: dict[type[WorkerError], tuple[str, str]] = {
    PermanentError: (
        "Fails at once",
        (
            "A retry cannot help. The session becomes `failed`. An upload becomes `refused` as "
            "`object_refused` or `file_beyond_integer`; otherwise it waits."
        ),
    ),
    RetryableError: (
        "Retried, then fails",
        (
            "A retry may help. The session becomes `pending` again and waits a little longer "
            "after each attempt; after `MAX_ATTEMPTS` attempts it becomes `failed`, except for "
            "`row_refused`. An upload waits, up to an hour between attempts; only "
            "`size_mismatch` refuses it, the tenth time in a row."
        ),
    ),
    UnavailableError: (
        "Not the session's fault: the worker waits",
        (
            "Supabase, the installation or the worker's machine has a problem. No session fails, "
            "no upload is refused, and no attempt counts. The worker pauses claiming for at most "
            "half a minute, probes with one session or upload, and recovers by itself. Only at "
            "its start it ends with exit code 2, and systemd restarts it; the other commands end "
            "likewise. What meets such errors again while others succeed is put off alone, up to "
            "an hour between attempts."
        ),
    ),
    SetupError: (
        "The command or the installation",
        "These concern no session. The command ends with exit code 2.",
    ),
}

IN_THE_SENTENCE = "The sentence itself says it."

FROM_SQL = {
    "worker_died": (
        "Workers died while they processed this session, `MAX_ATTEMPTS` times. `failed`.",
        "Inspect its file offline with `c3d-worker inspect`, then requeue it.",
    ),
    "duplicate_content": (
        (
            "Another session, named in the sentence, holds the same recording, byte for byte. "
            "Only sessions of the old system can end so, when the worker measures their true "
            "hash. `failed`."
        ),
        "Use that one. You can delete this session.",
    ),
    "other_patient": (
        "The bytes of an upload are another patient's session, or nobody's. It is a `duplicate`.",
        "Delete the object, or correct the session's `patient_id` and retake the upload.",
    ),
    "other_status": (
        "Another program set a status that this project does not know. `pending`, not an error.",
        "None is needed: a worker reads the session.",
    ),
    "replaced": (
        (
            "What another program had written of the file was not what the file says; the old "
            "values follow. `completed`, not an error."
        ),
        "None is needed: the session has the file's own values.",
    ),
    "requeued": (
        (
            "A person, or an upload of its recording, requeued the session; the reason "
            "follows. `pending`, not an error."
        ),
        "Nothing. It disappears when the session is completed.",
    ),
    "legacy_status": (
        (
            "The migration found a status of the old system, which the sentence keeps. "
            "`pending`, not an error."
        ),
        "Nothing. It disappears when the session is completed.",
    ),
}


def concrete(kind: type[WorkerError]) -> Iterator[type[WorkerError]]:
    """Yield the errors of a kind that can be raised, in the order of `worker/errors.py`."""
    if "code" in vars(kind) and (kind.cure or not kind.__subclasses__()):
        yield kind
    for each in kind.__subclasses__():
        yield from concrete(each)


def errors() -> str:
    """Return the whole page as Markdown."""
    parts = [HEAD, _faults()]
    for kind, (title, meaning) in KINDS.items():
        rows = [
            (error.code, _sentence(error), error.cure or IN_THE_SENTENCE)
            for error in concrete(kind)
        ]
        parts.append(f"## {title}\n\n{meaning}\n\n{_table(rows)}")
    rows = [(code, when, cure) for code, (when, cure) in FROM_SQL.items()]
    parts.append(f"## Written by the database\n\n{_table(rows)}")
    return "\n".join(parts)


def _faults() -> str:
    head = "| what was answered, and to what | whose fault | code | an upload | a session |\n"
    lines = (
        f"| {answered} | {fault} | {f'`{code}`' if code else ''} | {upload} | {session} |\n"
        for answered, fault, code, upload, session in FAULTS
    )
    return f"{head}|---|---|---|---|---|\n{''.join(lines)}"


def _sentence(error: type[WorkerError]) -> str:
    return " ".join((error.__doc__ or "").split())


def _table(rows: list[tuple[str, str, str]]) -> str:
    lines = [f"| `{code}` | {when} | {cure} |\n" for code, when, cure in rows]
    return "| code | when it happens | what to do |\n|---|---|---|\n" + "".join(lines)


if __name__ == "__main__":
    PAGE.write_text(errors(), encoding="utf-8")
