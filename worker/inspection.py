"""Offline: what the worker would write for a file on this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.errors import C3DError
from worker.extraction.metadata import PREFIX_BYTES, TechnicalMetadata, read_metadata


@dataclass(frozen=True, slots=True)
class Inspected:
    """A file and what was read from it, or why it was refused."""

    path: Path
    found: TechnicalMetadata | C3DError

    def as_json(self) -> dict[str, Any]:
        """The object that `inspect --json` prints on a line."""
        if isinstance(self.found, C3DError):
            error = {"code": self.found.code, "message": str(self.found)}
            return {"file": str(self.path), "error": error}
        return {"file": str(self.path), "row": self.found.row(), "game": dict(self.found.game)}


def inspect_file(path: Path) -> Inspected:
    """Read the metadata of the C3D file at `path`.

    Raises:
        OSError: the file cannot be read at all.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        prefix = file.read(PREFIX_BYTES)
    try:
        return Inspected(path, read_metadata(prefix, size))
    except C3DError as error:
        return Inspected(path, error)
