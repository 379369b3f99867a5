"""What the worker would write for a file on this machine; works offline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.extraction.analytics import analytics, with_sentences
from worker.extraction.errors import C3DError
from worker.extraction.metadata import TechnicalMetadata, describe, open_stream
from worker.extraction.statistics import ChannelStatistics, measure


@dataclass(frozen=True, slots=True)
class Inspected:
    """A file, and what was read from it or why it was refused."""

    path: Path
    found: TechnicalMetadata | C3DError
    statistics: tuple[ChannelStatistics, ...] | None = None  # None: not asked for

    def as_json(self) -> dict[str, Any]:
        """Return the object that `inspect --json` prints on a line."""
        if isinstance(self.found, C3DError):
            error = {"code": self.found.code, "message": str(self.found)}
            return {"file": str(self.path), "error": error}
        said = {
            "file": str(self.path),
            "row": self.found.row(),
            "game_metadata": dict(self.found.game),
        }
        if self.statistics is not None:
            said["statistics"] = with_sentences(analytics(self.statistics))
        return said


def inspect_file(path: Path, *, statistics: bool = False) -> Inspected:
    """Read the metadata of the C3D file at `path`, and with `statistics` every sample as well.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            metadata, layout = open_stream(stream)
            described = describe(metadata, layout)
            signals = measure(stream, metadata, layout) if statistics else None
        return Inspected(path, described, signals.statistics if signals else None)
    except C3DError as error:
        return Inspected(path, error)
