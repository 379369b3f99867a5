"""Why a file cannot be read as a recording: each error with its code and its cure.

See `worker.errors` for what a code and a cure are.
"""

from __future__ import annotations

from worker.errors import PermanentError


class C3DError(PermanentError):
    """The file cannot be read as a C3D recording."""

    code = "c3d_unreadable"


class NotC3DError(C3DError):
    """The file is not a C3D file: it is empty, too short, or of another format."""

    code = "c3d_not_c3d"
    cure = "Upload the recording itself, a file that the game or the device saved as .c3d."


class UnsupportedC3DError(C3DError):
    """The file starts as C3D but breaks the format in a part that the worker needs."""

    code = "c3d_unsupported"
    cure = "Export it again from the recording software, or repair it with a C3D editor."


class TruncatedC3DError(C3DError):
    """The file ends before the last frame it declares."""

    code = "c3d_truncated"
    cure = "It was cut off on the way: upload the complete file from the recording device again."


class UnfinishedC3DError(C3DError):
    """The file declares no frames but holds data: the program that wrote it never closed it."""

    code = "c3d_unfinished"
    cure = "The game did not close the file: record again, or repair it with a C3D editor."


class ContradictoryC3DError(C3DError):
    """The file's own counts disagree, and its length does not confirm any of them."""

    code = "c3d_contradictory"
    cure = "Its frame count cannot be trusted: export the recording again, in parts if it is long."


class TooCostlyC3DError(C3DError):
    """Reading the file takes more time or memory than a recording can need."""

    code = "c3d_too_costly"
    cure = "Export it again; raise EXTRACT_SECONDS or EXTRACT_MB only for a file you trust."
