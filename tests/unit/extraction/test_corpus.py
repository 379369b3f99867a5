"""Every real recording at hand gets the row that an independent reader found, or a reason.

The recordings are not part of this project; where they are absent, the tests say so.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import c3d
import numpy as np
import pytest

from worker.extraction.errors import NotC3DError
from worker.extraction.metadata import TechnicalMetadata, read_metadata
from worker.extraction.section import PREFIX_BYTES
from worker.extraction.statistics import channel_statistics

_LISTING = Path(__file__).parents[4] / "shared" / "c3d-corpus" / "expected.json"
EXPECTED: dict[str, dict[str, Any]] = json.loads(_LISTING.read_text()) if _LISTING.exists() else {}

# The independent reader takes an OFFSET of 0x8010 for -32,752 and then drops the sign.
UNSIGNED_OFFSETS = "shd01.c3d"

# Files the independent reader refuses, and why each is nevertheless read.
_EB015 = (200.0, 1800, 16, 50.0, 450)
_SGI = (200.0, 356, 16, 50.0, 89)
UNSURE = {
    # MIPS (big-endian) is a valid C3D format; the values are those of the Intel and DEC twins.
    "Eb015si.c3d": _EB015,
    "Eb015sr.c3d": _EB015,
    # The same; the pointer of the last parameter leads out of the section, and all are there.
    "sgi_int.c3d": _SGI,
    "sgi_real.c3d": _SGI,
    # MIPS; header and POINT:SCALE disagree, which no column depends on.
    "MACsample.c3d": (1020.0, 3060, 16, 60.0, 180),
    # POINT:FRAMES is one more than the header's count, which the length confirms to the byte;
    # ANALOG:USED and RATE are absent, so header word 3 and the frame rate stand in.
    "Dance.c3d": (65.053345, 499, 8, 65.053345, 499),
    "golfswing.c3d": (107.526878, 514, 8, 107.526878, 514),
    # Overwritten from EVENT:LABELS on; POINT and ANALOG are whole and the length confirms them.
    "bad_parameter_section.c3d": (1200.0, 3320, 32, 120.0, 332),
    # ANALOG:UNITS is cut short, but there are no analog channels that it could name.
    "badParameterOffset.c3d": (None, None, 0, 250.0, 111),
}


ABSENT = pytest.param(
    "", marks=pytest.mark.skip(reason="the corpus ../shared/c3d-corpus is not there")
)


def _named(expectation: str) -> list[Any]:
    named = sorted(file for file, entry in EXPECTED.items() if entry["expect"] == expectation)
    return named or [ABSENT]


def _read(file: Path) -> TechnicalMetadata:
    with file.open("rb") as stream:
        return read_metadata(stream.read(PREFIX_BYTES), file.stat().st_size)


@pytest.mark.parametrize("name", _named("row"))
def test_row_agrees_with_the_independent_reader(corpus: Path, name: str) -> None:
    metadata = _read(corpus / name)
    for column, expected in EXPECTED[name]["row"].items():
        actual = getattr(metadata, column)
        if isinstance(expected, float):
            expected = pytest.approx(expected, rel=1e-5)  # noqa: PLW2901 - compared as float32
        elif isinstance(expected, list):
            actual = list(actual)
        assert actual == expected, column


@pytest.mark.parametrize("name", _named("reject"))
def test_what_is_not_a_c3d_is_refused(corpus: Path, name: str) -> None:
    with pytest.raises(NotC3DError):
        _read(corpus / name)


@pytest.mark.parametrize("name", _named("unsure"))
def test_what_the_independent_reader_refuses_is_read_plausibly(corpus: Path, name: str) -> None:
    metadata = _read(corpus / name)
    rate, samples, channels, frame_rate, frames = UNSURE[Path(name).name]
    assert metadata.original_sampling_rate == (rate and pytest.approx(rate, rel=1e-6))
    assert metadata.original_sample_count == samples
    assert metadata.channel_count == channels
    assert len(metadata.channel_names) == channels
    assert metadata.sampling_rate == pytest.approx(frame_rate, rel=1e-6)
    assert metadata.frame_count == frames


def test_no_personal_identifier_is_copied_from_a_game_session(corpus: Path) -> None:
    for name in (name for name in EXPECTED if "Ghostly" in name):
        metadata = _read(corpus / name)
        assert metadata.game["game_name"] == "Ghostly"
        assert not {"player_name", "group_id", "therapist_id"} & metadata.game.keys()


def test_unsigned_offsets_agree_with_a_full_read_of_c3d(corpus: Path) -> None:
    path = next(corpus.rglob(UNSIGNED_OFFSETS))
    with path.open("rb") as stream:
        frames = c3d.Reader(stream).read_frames()
        analog = np.concatenate([analog for _, _, analog in frames], axis=1)
    for channel, values in zip(channel_statistics(path), analog, strict=True):
        assert channel.minimum == values.min()
        assert channel.maximum == values.max()
        assert channel.mean == pytest.approx(values.mean())


# The independent reader runs in a process of its own: it crashes, hangs and takes gigabytes.
_INDEPENDENT = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
import ezc3d, numpy
for path in sys.argv[1:]:
    try:
        analog = ezc3d.c3d(path)["data"]["analogs"][0].astype(float)
        print(json.dumps([path, analog.min(1).tolist(), analog.max(1).tolist(),
            analog.mean(1).tolist(), numpy.sqrt((analog ** 2).mean(1)).tolist(),
            numpy.abs(analog).mean(1).tolist()]), flush=True)
    except (RuntimeError, ValueError, IndexError):
        pass
"""


def test_statistics_agree_with_an_independent_full_read(corpus: Path) -> None:
    paths = [
        str(corpus / name)
        for name, entry in EXPECTED.items()
        if entry["expect"] == "row"
        and entry["row"]["channel_count"]
        and "note" not in entry
        and not name.endswith(UNSIGNED_OFFSETS)
    ]
    done = subprocess.run(
        [sys.executable, "-c", _INDEPENDENT, *paths], capture_output=True, text=True, check=True
    )
    compared = 0
    for line in done.stdout.splitlines():
        path, *columns = json.loads(line)
        for channel, (least, greatest, mean, rms, mav) in zip(
            channel_statistics(Path(path)), zip(*columns, strict=True), strict=True
        ):
            level = max(abs(least), abs(greatest))
            near = {"rel": 1e-5, "abs": 1e-5 * level}
            assert channel.minimum == pytest.approx(least, **near), (path, channel.name)
            assert channel.maximum == pytest.approx(greatest, **near), (path, channel.name)
            if any(verdict.code == "dropout" for verdict in channel.verdicts):
                continue  # the levels are those of the rest
            assert channel.mean == pytest.approx(mean, **near), (path, channel.name)
            assert channel.rms == pytest.approx(rms, **near), (path, channel.name)
            assert channel.mean_absolute == pytest.approx(mav, **near), (path, channel.name)
        compared += 1
    assert compared == len(paths)
