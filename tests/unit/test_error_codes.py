"""Every error code is provoked by some test, says what helps, and stands in docs/errors.md."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from docs.generate_errors import FAULTS, FROM_SQL, KINDS, PAGE, concrete, errors
from worker.backend.object_store import _write
from worker.dry_run.errors import PackageMissingError
from worker.errors import (
    DiskFullError,
    PermanentError,
    ReaderLostError,
    RetryableError,
    SettingError,
    StackError,
    WorkerError,
)
from worker.extraction.errors import (
    ChannelsUnclearC3DError,
    ContradictoryC3DError,
    OverlongC3DError,
    RatesDisagreeC3DError,
    UnfinishedC3DError,
    UnsupportedC3DError,
)
from worker.extraction.isolation import Isolation
from worker.extraction.metadata import read_metadata
from worker.local.recordings import Raw, recording
from worker.local.stack import configured_ports

PROJECT = Path(__file__).parents[2]
CONCRETE = [error for kind in KINDS for error in concrete(kind)]
CURED_BY_THEIR_SENTENCE = {
    PackageMissingError,
    SettingError,
    StackError,
}  # what helps differs from one to the next
CODES = {error.code for error in CONCRETE} | set(FROM_SQL)
TESTS = "\n".join(
    path.read_text(encoding="utf-8") for path in sorted((PROJECT / "tests").rglob("*.py"))
)
# What a migration writes before the colon of processing_error.
WRITTEN_BY_SQL = re.compile(
    r"(?:processing_error :?= (?:format|concat|nullif)?\(?|(?:then|select) format\()\s*'([a-z_]+): "
)


def test_the_codes_of_failed_sessions_and_refused_uploads_are_known_to_the_commands() -> None:
    ended = {
        error.code for kind in (PermanentError, RetryableError) for error in concrete(kind)
    } | {code for code, (when, _) in FROM_SQL.items() if when.endswith("`failed`.")}
    program = "from worker.commands.codes import known_codes; print(*known_codes())"
    alone = subprocess.check_output([sys.executable, "-c", program], cwd=PROJECT, text=True)
    assert set(alone.split()) == ended | {"unknown"}


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_is_provoked_by_a_test(code: str) -> None:
    assert re.search(rf"[\"'^(|]{code}[\"':|)]", TESTS)


@pytest.mark.parametrize("error", CONCRETE, ids=lambda error: error.code)
def test_every_sentence_ends_with_its_cure(error: type[WorkerError]) -> None:
    assert str(error("It happened.")) == f"It happened. {error.cure}".strip()
    assert error.cure.endswith(".") or error in CURED_BY_THEIR_SENTENCE


def test_the_table_of_faults_names_codes_that_there_are() -> None:
    assert {code for _, _, code, _, _ in FAULTS} <= CODES | {"", "c3d_…"}


def test_what_the_database_writes_is_known() -> None:
    migrations = sorted((PROJECT / "supabase" / "migrations").glob("*.sql"))
    found = {code for each in migrations for code in WRITTEN_BY_SQL.findall(each.read_text())}
    assert found == set(FROM_SQL)


def test_the_page_is_what_the_errors_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == errors(), (
        "Run: .venv/bin/python docs/generate_errors.py"
    )


def test_a_local_stack_that_cannot_be_started_says_what_helps(tmp_path: Path) -> None:
    (tmp_path / "supabase").mkdir()
    (tmp_path / "supabase" / "config.toml").write_text("port =")
    with pytest.raises(StackError, match=r"Correct the file\.$") as caught:
        configured_ports(tmp_path)
    assert caught.value.code == "local_stack"


def _read(file: bytes) -> object:
    return read_metadata(file, len(file))


def _unsupported() -> object:
    labels = Raw(-1, (255, 255), b"A" * 300)  # of which 64,725 bytes are missing
    return _read(recording(np.zeros((20, 4)), groups={"ANALOG": {"LABELS": labels}}))


def _unfinished() -> object:
    no_frames = {"POINT": {"FRAMES": 0}}
    return _read(recording(np.zeros((500, 4)), groups=no_frames, header={"last": 0}))


def _contradictory() -> object:
    file = recording(np.zeros((500, 8)), groups={"POINT": {"FRAMES": 501}})
    return _read(file + bytes(300))


def _overlong() -> object:
    return _read(recording(np.zeros((70_000, 1))))


def _channels_unclear() -> object:
    file = recording(np.zeros((500, 4)), header={"analog": 3})
    return _read(file + bytes(3000))


def _rates_disagree() -> object:
    return _read(recording(np.zeros((500, 4)), groups={"ANALOG": {"RATE": 990.0}}))


def _full_disk() -> None:
    with Path("/dev/full").open("wb", buffering=0) as disk:
        _write(disk, b"a recording")


def _no_reader() -> object:
    pool = Isolation(seconds=5, megabytes=100, children=1)
    pool.close()
    return pool.run(Path("recording.c3d"), "recording.c3d")


@pytest.mark.parametrize(
    ("provoke", "error", "code"),
    [
        (_unsupported, UnsupportedC3DError, "c3d_unsupported"),
        (_unfinished, UnfinishedC3DError, "c3d_unfinished"),
        (_contradictory, ContradictoryC3DError, "c3d_contradictory"),
        (_overlong, OverlongC3DError, "c3d_overlong"),
        (_channels_unclear, ChannelsUnclearC3DError, "c3d_channels_unclear"),
        (_rates_disagree, RatesDisagreeC3DError, "c3d_rates_disagree"),
        (_full_disk, DiskFullError, "disk_full"),
        (_no_reader, ReaderLostError, "reader_lost"),
    ],
)
def test_what_happened_comes_with_its_code_and_its_cure(
    provoke: Callable[[], object], error: type[WorkerError], code: str
) -> None:
    with pytest.raises(error) as caught:
        provoke()
    assert caught.value.code == code
    assert str(caught.value).endswith(error.cure)
