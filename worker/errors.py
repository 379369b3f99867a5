"""Every error this project raises, sorted by what is to be done about it.

An error has a stable `code`, for people who search and programs that count, and reads as one
or two sentences: what happened, then the cure. The code's own documentation is its docstring.

The four kinds decide what becomes of a session:

- `PermanentError`: it is the session's own fault and will not heal: `failed`.
- `RetryableError`: it is the session's own fault and may heal: `pending` again, an attempt spent.
- `UnavailableError`: Supabase is in trouble: `pending` again, no attempt spent, claiming pauses.
- `SetupError`: the installation is wrong: a command ends with exit code 2.
"""

from __future__ import annotations

from typing import ClassVar


class WorkerError(Exception):
    """Base of every error of this project."""

    code: ClassVar[str] = "error"
    cure: ClassVar[str] = ""

    def __init__(self, what: str) -> None:
        """`what` is one sentence saying what happened, to which session or file."""
        super().__init__(what)

    def __str__(self) -> str:
        """What happened, then the cure."""
        return f"{self.args[0]} {self.cure}".strip()


class PermanentError(WorkerError):
    """The session's own fault; trying again cannot help."""


class RetryableError(WorkerError):
    """The session's own fault; trying later may help."""


class UnavailableError(WorkerError):
    """Supabase is in trouble; no session is to blame."""

    code = "supabase_unavailable"
    cure = "Check SUPABASE_URL, the network and the project's status page."

    def __init__(self, what: str, *, retry_after: float | None = None) -> None:
        """`retry_after`: seconds that Supabase itself asked to wait (HTTP Retry-After)."""
        super().__init__(what)
        self.retry_after = retry_after


class SetupError(WorkerError):
    """The installation is wrong; a person has to change something."""

    code = "setup"


# --- the file ---------------------------------------------------------------------------------


class C3DError(PermanentError):
    """The file cannot be read as a C3D recording."""

    code = "c3d_unreadable"


class NotC3DError(C3DError):
    """The file is no C3D file: empty, too short, or of another format."""

    code = "c3d_not_c3d"
    cure = "Upload the recording itself, a file that the game or the device saved as .c3d."


class UnsupportedC3DError(C3DError):
    """The file claims to be C3D but breaks the format where it cannot be read around."""

    code = "c3d_unsupported"
    cure = "Export it again from the recording software, or repair it with a C3D editor."


class TruncatedC3DError(C3DError):
    """The file ends before the last frame it declares."""

    code = "c3d_truncated"
    cure = "It was cut off on the way: upload the complete file from the recording device again."


class UnfinishedC3DError(C3DError):
    """The file declares no frames although it holds data: its writer never closed it."""

    code = "c3d_unfinished"
    cure = "The game did not close the file: record again, or repair it with a C3D editor."


class ContradictoryC3DError(C3DError):
    """The file's own counts disagree and its length confirms none of them."""

    code = "c3d_contradictory"
    cure = "Its frame count cannot be trusted: export the recording again, in parts if it is long."


class TooCostlyC3DError(C3DError):
    """Reading the file takes more time or memory than a recording can need."""

    code = "c3d_too_costly"
    cure = "Export it again; raise EXTRACT_SECONDS or EXTRACT_MB only for a file you trust."


# --- the object in Storage --------------------------------------------------------------------


class ObjectMissingError(RetryableError):
    """Storage has no object at the session's path."""

    code = "object_missing"
    cure = "Upload the file to that path again, or correct the session's file_path."


class ObjectRefusedError(PermanentError):
    """Storage refuses the session's path, whatever is or is not there."""

    code = "object_refused"
    cure = "Upload the file again under a name of plain letters, digits, '-', '_' and '.'."


class SizeMismatchError(RetryableError):
    """The object's size is not the size the session was created with, nor when tried again."""

    code = "size_mismatch"
    cure = "It was changed after its upload: upload the file again under a new name."


class HashMismatchError(RetryableError):
    """The object's SHA-256 is not the session's, nor when downloaded again."""

    code = "hash_mismatch"
    cure = "It was changed after its upload: upload the file again under a new name."


class FileTooLargeError(PermanentError):
    """The object is larger than this worker may download."""

    code = "file_too_large"
    cure = "Raise MAX_FILE_MB and requeue the session, or split the recording."


class UploadRefusedError(PermanentError):
    """Storage does not take the file."""

    code = "upload_refused"
    cure = "Compare the bucket's limits of size and type with the file."


class PathTakenError(PermanentError):
    """Another object is where the file was to go."""

    code = "path_taken"
    cure = "Rename the file, or remove the object there."


class FileBeyondIntegerError(PermanentError):
    """The object is larger than the size column of a session can say."""

    code = "file_beyond_integer"
    cure = "A session takes 2,147,483,647 bytes at most: split the recording."


class RejectedError(PermanentError):
    """The database refused the session's values."""

    code = "rejected"
    cure = (
        "The session's values break a rule of the table that the message names: correct that rule "
        "or the row, then requeue the session."
    )


class AlreadyThereError(RejectedError):
    """A row with the same unique value is there already."""

    code = "already_there"
    cure = "Look for the session that holds the same value."


class UnexpectedError(RetryableError):
    """The worker met an error of its own while it had the session in hand."""

    code = "unexpected"
    cure = (
        "Report it with the worker's log of that moment; once it is fixed, requeue the session or "
        "upload the file again."
    )


# --- Supabase is there, but a person has to change something ------------------------------------


class KeyRefusedError(UnavailableError):
    """Supabase refuses the key, or the key may not do what the worker does."""

    code = "key_refused"
    cure = "Set SUPABASE_SECRET_KEY to the project's secret key (Project Settings, API keys)."


class MigrationMissingError(UnavailableError):
    """A table or function of this project is missing from the database."""

    code = "migration_missing"
    cure = "Apply the migrations with `supabase db push` (--remote for a hosted project)."


class DiskFullError(UnavailableError):
    """The worker's temporary folder cannot hold the recording."""

    code = "disk_full"
    cure = "Free space there, or point TMPDIR at a larger disk."


class ReaderLostError(UnavailableError):
    """The worker cannot start, or keep, a process that reads recordings."""

    code = "reader_lost"
    cure = "Look for a lack of memory on the worker's machine, and restart the worker."


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
    """There is no session with that id."""

    code = "session_unknown"
    cure = "Look it up in session_overview, column session_id."


class FileDiffersError(SetupError):
    """A file is where another one of the same name was to be written."""

    code = "file_differs"
    cure = "Nothing was written. Move it away, or name another place."


class StackError(SetupError):
    """The local stack cannot be installed or started."""

    code = "local_stack"
