"""Reads one file with one reader and prints what it says as JSON; run as a child with limits.

    python -m tests.conformance.readers READER FILE

An error that a reader raises is a refusal. An error of this project's reader that is none of its
own is a crash, as is the end of the child by a signal.
"""

from __future__ import annotations

import json
import sys
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tests.conformance.shape import Row

PROJECT = "this project"
UNREAD = "reading"  # in what c3d warns of: bytes that remain after "reading", or their end in it
READERS = (PROJECT, "c3d", "ezc3d")


def read_by_project(path: Path) -> Row:
    """Read with this project."""
    from worker.extraction.metadata import read_metadata  # noqa: PLC0415 - a child needs one reader
    from worker.extraction.section import PREFIX_BYTES  # noqa: PLC0415

    content = path.read_bytes()
    found = read_metadata(content[:PREFIX_BYTES], len(content))
    return {
        "channels": found.channel_count,
        "names": list(found.channel_names),
        "samples": found.original_sample_count,
        "rate": found.original_sampling_rate,
        "frames": found.frame_count,
        "frame_rate": found.sampling_rate,
    }


def read_by_c3d(path: Path) -> Row:
    """Read every frame with the package c3d, and count what comes."""
    import c3d  # noqa: PLC0415

    with path.open("rb") as stream:
        reader = c3d.Reader(stream)
        shapes = [analog.shape for _, _, analog in reader.read_frames()]
        channels = int(reader.analog_used)
        return {
            "channels": channels,
            "names": [str(name).strip() for name in reader.analog_labels][:channels]
            if channels
            else [],
            "samples": sum(shape[1] for shape in shapes) if channels else None,
            "rate": float(reader.analog_rate) if channels else None,
            "frames": len(shapes),
            "frame_rate": float(reader.point_rate),
        }


def read_by_ezc3d(path: Path) -> Row:
    """Read the whole file with ezc3d."""
    import ezc3d  # noqa: PLC0415

    file: Any = ezc3d.c3d(str(path))
    analog = file["data"]["analogs"]
    channels = int(analog.shape[1])
    points, header = file["data"]["points"], file["header"]["points"]
    names: list[str] = []
    for suffix in ("", *map(str, range(2, 10))):
        names += file["parameters"]["ANALOG"].get(f"LABELS{suffix}", {"value": []})["value"]
    return {
        "channels": channels,
        "names": [name.strip() for name in names[:channels]],
        "samples": int(analog.shape[2]) if channels else None,
        "rate": float(file["header"]["analogs"]["frame_rate"]) if channels else None,
        "frames": int(points.shape[2])
        if points.shape[1]
        else int(header["last_frame"]) - int(header["first_frame"]) + 1,
        "frame_rate": float(header["frame_rate"]),
    }


def version_of(reader: str) -> str | None:
    """Return the version of a reader; None where it is not installed."""
    try:
        return version("c3d-session-worker" if reader == PROJECT else reader)
    except PackageNotFoundError:
        return None


def main(reader: str, path: Path) -> None:
    """Print what the reader says of the file, or why it refuses it."""
    answer: dict[str, Any]
    if reader == PROJECT:
        from worker.extraction.errors import C3DError  # noqa: PLC0415

        try:
            answer = {"row": read_by_project(path)}
        except C3DError as error:
            answer = {"refused": error.told}
    else:
        try:
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always", UserWarning)
                answer = {"row": (read_by_c3d if reader == "c3d" else read_by_ezc3d)(path)}
            messages = [str(each.message) for each in warned]
            answer["warned"] = [message for message in messages if UNREAD in message]
        except Exception as error:  # noqa: BLE001 - whatever a reader raises is its refusal
            answer = {"refused": ascii(error)}
    print(json.dumps(answer))  # noqa: T201 - this is what the parent reads


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
