"""The errors of this project, sorted by what has to be done about them.

What can be wrong with a recording itself stands in `worker.extraction.errors`.

An error has a stable `code`, which people search for and programs count, and reads as one or two
sentences: what happened, then the cure. Its docstring documents the code in docs/errors.md.

The four kinds decide what happens to a session:

- `PermanentError`: the session caused it and a retry cannot help: `failed`.
- `RetryableError`: the session caused it and a retry may help: `pending`, the attempt counts.
- `UnavailableError`: Supabase or this machine caused it: `pending`, the attempt does not count,
  and the worker pauses claiming.
- `SetupError`: the call or the installation is wrong: a command ends with exit code 2.
"""

from __future__ import annotations

from typing import ClassVar


class WorkerError(Exception):
    """Base of every error of this project."""

    code: ClassVar[str] = "error"
    cure: ClassVar[str] = ""

    def __init__(self, what: str, *, said: str = "") -> None:
        """Args: what happened, in one sentence; and what a rule of the database said to it.

        What it `said` can name a file or a patient, so it is written into tables and never logged.
        """
        super().__init__(what)
        self.said = said

    def __str__(self) -> str:
        """Return what happened, then the cure."""
        return f"{self.args[0]} {self.cure}".strip()

    @property
    def told(self) -> str:
        """What is written into tables: code, sentence and cure, and what a rule said."""
        said = f" It said: {self.said}" if self.said else ""
        return f"{self.code}: {self}{said}"


class PermanentError(WorkerError):
    """The session caused the error, and a retry cannot help."""


class RetryableError(WorkerError):
    """The session caused the error, and a later retry may help."""


class UnavailableError(WorkerError):
    """Supabase does not answer, or answers with an error that no session caused."""

    code = "supabase_unavailable"
    cure = "Check SUPABASE_URL, the network and the project's status page."

    def __init__(self, what: str, *, said: str = "", retry_after: float | None = None) -> None:
        """`retry_after`: seconds that Supabase itself asked to wait (HTTP Retry-After)."""
        super().__init__(what, said=said)
        self.retry_after = retry_after


class SetupError(WorkerError):
    """The call or the installation is wrong; a person has to change something."""

    code = "setup"


# --- the object in Storage --------------------------------------------------------------------


class ObjectMissingError(RetryableError):
    """Storage has no object at the session's path."""

    code = "object_missing"
    cure = "Upload the file to that path again, or correct the session's file_path."


class ObjectRefusedError(PermanentError):
    """Storage refuses the session's path as invalid, whether or not an object exists there."""

    code = "object_refused"
    cure = "Upload the file again under a name of plain letters, digits, '-', '_' and '.'."


class SizeMismatchError(RetryableError):
    """The object's size differs from the size that the session was created with."""

    code = "size_mismatch"
    cure = "It was changed after its upload: upload the file again under a new name."


class HashMismatchError(RetryableError):
    """The object's SHA-256 differs from the session's `file_hash`."""

    code = "hash_mismatch"
    cure = "It was changed after its upload: upload the file again under a new name."


class FileTooLargeError(PermanentError):
    """The object is larger than this worker may download."""

    code = "file_too_large"
    cure = "Raise MAX_FILE_MB and requeue the session, or split the recording."


class UploadRefusedError(PermanentError):
    """Storage refuses the upload."""

    code = "upload_refused"
    cure = "Compare the bucket's limits of size and type with the file."


class PathTakenError(PermanentError):
    """Another object already exists at the path of the upload."""

    code = "path_taken"
    cure = "Rename the file, or remove that object."


class FileBeyondIntegerError(PermanentError):
    """The object is larger than the size column of a session can hold."""

    code = "file_beyond_integer"
    cure = "A session can have 2,147,483,647 bytes at most: split the recording."


class RejectedError(PermanentError):
    """The database refused the session's values."""

    code = "rejected"
    cure = "Correct the rule of the table that the message names, then requeue the session."


class PatientUnknownError(RetryableError):
    """The table requires a patient, and the one that the path names is not there yet."""

    code = "patient_unknown"
    cure = "Enter the patient: the upload is taken in by itself."


class PathHeldError(RetryableError):
    """The table allows one session for each path, and another session has this one."""

    code = "path_held"
    cure = "Delete that session, or upload the file under another name."


class RowRefusedError(RetryableError):
    """A rule of the table refuses to change the session's row."""

    code = "row_refused"
    cure = "Correct the rule or the row: the session is attempted again by itself."


class UnexpectedError(RetryableError):
    """The worker failed with an internal error while it processed the session or upload."""

    code = "unexpected"
    cure = (
        "Report it with the worker's log of that moment. An upload is attempted again by itself; "
        "requeue a session once it is fixed."
    )


# --- Supabase is there, but a person has to change something ------------------------------------


class KeyRefusedError(UnavailableError):
    """Supabase refuses the key, or the key lacks a permission that the worker needs."""

    code = "key_refused"
    cure = "Set SUPABASE_SECRET_KEY to the project's secret key (Project Settings, API keys)."


class MigrationMissingError(UnavailableError):
    """A table or function of this project is missing from the database."""

    code = "migration_missing"
    cure = "Apply the migrations with `supabase db push` (--remote for a hosted project)."


class SchemaVersionError(UnavailableError):
    """The database has the functions of another version than this worker's."""

    code = "schema_version"
    cure = "Update the older one: the database with `supabase db push`, or else the worker."


class SchemaRefusesError(UnavailableError):
    """A rule of the table therapy_sessions refuses new sessions."""

    code = "schema_refuses"
    cure = "Correct that rule of the table: what waits for it is taken in by itself."


class DiskFullError(UnavailableError):
    """The worker's temporary folder cannot hold the recording."""

    code = "disk_full"
    cure = "Free space there, or point TMPDIR at a larger disk."


class ReaderLostError(UnavailableError):
    """The worker cannot start the processes that read recordings, or they keep dying."""

    code = "reader_lost"
    cure = "Check whether the worker's machine is short of memory, then restart the worker."


class BucketMissingError(UnavailableError):
    """The bucket of the recordings does not exist."""

    code = "bucket_missing"
    cure = (
        "Apply the migrations with `supabase db push` (--remote for a hosted project), or correct "
        "C3D_BUCKET."
    )


# --- the installation ---------------------------------------------------------------------------


class SettingError(SetupError):
    """A setting is missing or malformed."""

    code = "setting"


class SessionUnknownError(SetupError):
    """No session has that id."""

    code = "session_unknown"
    cure = "Look it up in session_overview, column session_id."


class FileDiffersError(SetupError):
    """Another file already exists at the path that the command would write."""

    code = "file_differs"
    cure = "Nothing was written. Move that file, or name another path."


class StackError(SetupError):
    """The local stack cannot be installed or started."""

    code = "local_stack"
