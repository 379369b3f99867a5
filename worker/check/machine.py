"""The worker's machine: the folder that holds recordings while they are read."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from worker.check.findings import Check, Finding, bad, good, warning
from worker.errors import DiskFullError
from worker.settings import Settings

GIGABYTE = 1e9  # bytes


def temporary_folder(settings: Settings) -> Finding:
    """Judge whether the folder takes files, and has room for what may lie in it."""
    try:
        folder = Path(tempfile.gettempdir())
        with tempfile.TemporaryFile() as file:
            file.write(b"a recording")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        said = f"No temporary file can be made ({error.strerror})."
        return bad(Check.FOLDER, said, DiskFullError.cure)
    wished = os.environ.get("TMPDIR")
    if wished and Path(wished).resolve() != folder.resolve():
        return warning(
            Check.FOLDER,
            f"TMPDIR is {wished}, which takes no files; {folder} is used.",
            "Create that folder, writable for the worker, or correct TMPDIR.",
        )
    needed = settings.concurrency * settings.max_file_bytes + settings.held_bytes
    said = (
        f"{folder} has {free / GIGABYTE:,.1f} GB free; the {settings.concurrency} largest "
        f"recordings and HELD_MB of fresh uploads take {needed / GIGABYTE:,.1f} GB."
    )
    if free < needed:
        return warning(Check.FOLDER, said, f"{DiskFullError.cure} Or lower MAX_FILE_MB or HELD_MB.")
    return good(Check.FOLDER, said)
