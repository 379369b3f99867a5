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
    """The file declares no frames: nothing was recorded, or the file was never closed."""

    code = "c3d_unfinished"
    cure = "Record again; where frames are there, a C3D editor can repair their count."


class ContradictoryC3DError(C3DError):
    """The file contradicts itself, such as in its counts, and its length does not settle it."""

    code = "c3d_contradictory"
    cure = "Upload the complete file again; if that is refused too, export it again."


class OverlongC3DError(ContradictoryC3DError):
    """The recording has more frames than the file's own counts can say: they wrapped or stopped."""

    code = "c3d_overlong"
    cure = "Record or export it in parts below 65,535 frames: at 33 frames a second, 33 minutes."


class ChannelsUnclearC3DError(ContradictoryC3DError):
    """The file contradicts itself about its analog channels, and its length does not settle it."""

    code = "c3d_channels_unclear"
    cure = "Export it again, or correct ANALOG:USED and ANALOG:RATE with a C3D editor."


class RatesDisagreeC3DError(ContradictoryC3DError):
    """The analog rate is not the frame rate times the samples a frame, so one of them is wrong."""

    code = "c3d_rates_disagree"
    cure = "Correct POINT:RATE or ANALOG:RATE with a C3D editor, or export it again."


class TooCostlyC3DError(C3DError):
    """Reading the file takes more time or memory than a recording can need."""

    code = "c3d_too_costly"
    cure = "Export it again; raise EXTRACT_SECONDS or EXTRACT_MB only for a file you trust."
