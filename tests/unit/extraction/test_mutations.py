"""Damaged recordings by the thousand: an answer or a reason, at once and in little memory.

FUZZ_EXAMPLES sets the number of damaged files for each property; the suite's own run is short.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from worker.extraction.errors import (
    C3DError,
    ContradictoryC3DError,
    TruncatedC3DError,
    UnfinishedC3DError,
)
from worker.extraction.metadata import TechnicalMetadata, read_metadata
from worker.extraction.section import PREFIX_BYTES
from worker.extraction.statistics import channel_statistics
from worker.extraction.wanted import GAME
from worker.local.recordings import (
    DEC,
    INTEL,
    MIPS,
    Raw,
    Value,
    ghostly_recording,
    recording,
)

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "300"))
SLOWEST = 1.0  # second of processor time
MAX_MEMORY = 200 * 1024  # KiB, beyond what the test process holds before

SESSION = ghostly_recording(4.0)
_MARKERS = recording(np.ones((200, 6)), samples_per_frame=5, points=4, labels=list("ABCDEF"))
ORIGINALS = {
    "session": SESSION,
    "markers": _MARKERS,
    "integers": recording(np.ones((90, 3)), real=False, groups={"ANALOG": {"UNITS": ["V"] * 3}}),
    "dec": recording(np.ones((90, 3)), processor=DEC),
    "mips": recording(np.ones((90, 3)), processor=MIPS, samples_per_frame=3),
    "channels": recording(np.ones((10, 300))),
    "long": recording(
        np.ones((400, 2)),
        groups={
            "POINT": {"LONG_FRAMES": 400.0},
            "TRIAL": {"ACTUAL_START_FIELD": [1, 0], "ACTUAL_END_FIELD": [400, 0]},
        },
    ),
}

ODD = recording(np.ones((133 * 3, 5)), samples_per_frame=3, points=1)

originals = st.sampled_from(sorted(ORIGINALS))
# Damage where it hurts: in the header and the parameter section.
changes = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 2047), st.integers(0, 31), st.integers(512, 1100)),
        st.one_of(st.integers(0, 255), st.sampled_from([0, 1, 2, 84, 127, 128, 255])),
    ),
    min_size=1,
    max_size=6,
)

fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,  # SLOWEST is asserted, and without retries
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    derandomize=EXAMPLES <= 300,
)


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """What is done inside takes no longer than SLOWEST; collecting hypothesis's garbage may."""
    gc.disable()
    started = time.process_time()
    try:
        yield
        assert time.process_time() - started < SLOWEST
    finally:
        gc.enable()


def read(file: bytes) -> TechnicalMetadata:
    return read_metadata(file[:PREFIX_BYTES], len(file))


def damaged(original: str, changed: list[tuple[int, int]]) -> bytes:
    file = bytearray(ORIGINALS[original])
    for position, value in changed:
        file[position % len(file)] = value
    return bytes(file)


def assert_sane(metadata: TechnicalMetadata, size: int) -> None:
    """What no row may ever say, however damaged the file."""
    row = metadata.row()
    assert len(row["channel_names"]) == row["channel_count"] <= 65535
    assert "\0" not in "".join(row["channel_names"])
    samples = row["original_sample_count"]
    if samples is not None:
        assert 0 < samples * row["channel_count"] * 2 <= size
    for name in ("original_sampling_rate", "sampling_rate"):
        assert row[name] is None or 0.01 <= row[name] <= 1e6
    for name in ("original_duration_seconds", "duration_seconds"):
        assert row[name] is None or row[name] > 0


@fuzz
@given(original=originals, changed=changes)
@example(original="session", changed=[(0, 255)])
def test_a_damaged_file_gets_a_sane_row_or_a_reason(
    original: str, changed: list[tuple[int, int]]
) -> None:
    file = damaged(original, changed)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reason = ""
    with at_once():
        try:
            assert_sane(read(file), len(file))
        except C3DError as error:
            reason = str(error)
    assert reason.isprintable()  # the database refuses NUL, a terminal obeys control characters
    assert len(reason) < 500
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < MAX_MEMORY


@fuzz
@given(original=originals, changed=changes)
def test_a_damaged_file_has_statistics_or_a_reason(
    tmp_path: Path, original: str, changed: list[tuple[int, int]]
) -> None:
    path = tmp_path / "damaged.c3d"
    path.write_bytes(damaged(original, changed))
    with at_once(), contextlib.suppress(C3DError):
        for channel in channel_statistics(path):
            assert channel.samples + channel.not_finite > 0
            assert channel.rms is None or channel.rms >= 0


@fuzz
@given(file=st.sampled_from([SESSION, ODD, ODD + bytes(500)]), bit=st.integers(0, 1536 * 8 - 1))
def test_a_flipped_bit_never_changes_how_much_was_recorded(file: bytes, bit: int) -> None:
    """Names and, within their tolerance, rates may change unseen; counts may not."""
    flipped = bytearray(file)
    flipped[bit // 8] ^= 1 << bit % 8
    expected = read(file)
    with contextlib.suppress(C3DError):
        metadata = read(bytes(flipped))
        assert metadata.frame_count == expected.frame_count
        assert metadata.original_sample_count == expected.original_sample_count
        assert metadata.channel_count == expected.channel_count


hostile = st.one_of(
    st.integers(-(2**15), 2**16 - 1),
    st.floats(width=32),
    st.lists(st.floats(width=32), max_size=6),
    st.lists(
        st.one_of(
            st.integers(-(2**70), 2**70).map(str),
            st.text(max_size=8),
            st.sampled_from([str(2**31), "9" * 60, "-1", "0", "nan", "1e400", "٣", "\0", "1_0"]),
        ),
        min_size=1,
        max_size=6,
    ),
    st.builds(
        Raw,
        kind=st.sampled_from([-1, 0, 1, 2, 3, 4, 8]),
        dimensions=st.lists(st.integers(0, 255), max_size=4).map(tuple),
        data=st.binary(max_size=300),
    ),
)


@fuzz
@given(
    said=st.dictionaries(
        st.sampled_from([(group, name) for group, names in GAME.items() for name in names]),
        hostile,
        min_size=1,
    ),
    processor=st.sampled_from([INTEL, DEC, MIPS]),
)
@example(said={("INFO", "TIME"): [str(2**31), "1", "1", "1", "1"]}, processor=INTEL)
def test_whatever_the_game_says_the_recording_is_read(
    said: dict[tuple[str, str], Value], processor: int
) -> None:
    groups: dict[str, dict[str, Value]] = {}
    for (group, name), value in said.items():
        groups.setdefault(group, {})[name] = value
    samples = np.ones((90, 3))
    metadata = read(recording(samples, processor=processor, groups=groups))
    assert metadata.row() == read(recording(samples, processor=processor)).row()
    assert metadata.game.keys() <= {name.lower() for _, name in said}
    written = json.dumps(metadata.game, allow_nan=False, ensure_ascii=False)
    assert "\\u0000" not in json.dumps(metadata.game)  # jsonb refuses it
    assert json.loads(written.encode()) == metadata.game


@fuzz
@given(content=st.binary(max_size=4096))
def test_bytes_of_any_kind_are_refused_or_read_sanely(content: bytes) -> None:
    for file in (content, b"\2\x50" + content, SESSION[:512] + content):
        with contextlib.suppress(C3DError):
            assert_sane(read(file), len(file))


@pytest.mark.parametrize("original", ORIGINALS)
def test_every_truncation_that_takes_a_declared_frame_is_refused(original: str) -> None:
    file = ORIGINALS[original]
    read(file)
    for length in [*range(0, len(file), 64), len(file) - 1]:
        with pytest.raises(C3DError):
            read(file[:length])


@pytest.mark.parametrize("original", ORIGINALS)
def test_every_truncation_within_the_data_is_called_so(original: str) -> None:
    file = ORIGINALS[original]
    blocks = file[16:18] if original != "mips" else file[17:15:-1]
    for length in range((int.from_bytes(blocks, "little") - 1) * 512, len(file), 64):
        with pytest.raises(TruncatedC3DError):
            read(file[:length])


@pytest.mark.parametrize("original", ORIGINALS)
@pytest.mark.parametrize("spare", [1, 64, 512, 5000])
def test_padding_and_trailers_change_nothing(original: str, spare: int) -> None:
    file = ORIGINALS[original]
    assert read(file + bytes(spare)) == read(file)


@pytest.mark.parametrize("wrapped", [1, 4464, 65534])
def test_a_count_that_wrapped_is_refused(wrapped: int) -> None:
    file = recording(
        np.zeros((65_536 + wrapped, 1)),
        groups={"POINT": {"FRAMES": wrapped}},
        header={"last": wrapped},
    )
    with pytest.raises(ContradictoryC3DError):
        read(file)


@pytest.mark.parametrize("frames", [1, 2, 1000, 65_536])
def test_a_file_that_was_never_closed_is_refused(frames: int) -> None:
    file = recording(
        np.zeros((frames, 4)), groups={"POINT": {"FRAMES": 0}}, header={"last": 0, "data_block": 0}
    )
    with pytest.raises(UnfinishedC3DError):
        read(file)


@pytest.mark.parametrize("seed", range(5))
def test_real_recordings_survive_like_made_ones(corpus: Path, seed: int) -> None:
    """A few bytes changed in each real file: no exception but the project's own."""
    random = np.random.default_rng(seed)
    for path in (path for path in corpus.rglob("*") if path.suffix.lower() == ".c3d"):
        content = bytearray(path.read_bytes()) or bytearray(1)
        for position in random.integers(0, min(len(content), 4096), 4):
            content[position] = int(random.integers(256))
        with contextlib.suppress(C3DError):
            assert_sane(read(bytes(content)), len(content))
