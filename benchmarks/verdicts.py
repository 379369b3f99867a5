"""How often the verdicts agree with what a person saw, on real channels.

    python -m benchmarks.verdicts [FOLDER]

FOLDER holds the recordings that tests/labels/channels.csv names; else they are those beside the
repository. The thresholds were chosen on the half `tune`, so `judge` is the half that tells.
Dropouts are rare in recordings, so some are cut into real channels as well, at drawn places: zeros,
and values held. The same channels without a cut are the ones that must pass.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.harness import CORPUS, PROJECT
from worker.extraction.metadata import channel_texts, open_recording
from worker.extraction.rates import rates
from worker.extraction.samples import Values, read_scaling, sample_blocks
from worker.extraction.section import PREFIX_BYTES
from worker.extraction.statistics import ChannelStatistics, channel_statistics
from worker.extraction.verdicts import Kind, kind
from worker.local.recordings import recording

LABELS = PROJECT / "tests/labels/channels.csv"
CODES = ("clipped", "dropout")
HALVES = ("tune", "judge")
CUTS = 100
CUT_SECONDS = 0.03, 0.5  # GHOSTLY's packets are 0.03 s long, and up to 0.27 s were seen missing
MIN_CUT = 10  # samples: fewer are not told from chance at low rates
SEED = 17
SAMPLES_PER_FRAME = 10  # a file counts at most 65,535 frames

Label = dict[str, str]


@dataclass(slots=True)
class Score:
    """How many verdicts were right."""

    name: str
    hits: int = 0  # found and there
    alarms: int = 0  # found, but not there
    missed: int = 0  # there, but not found
    passed: int = 0  # neither
    wrong: list[str] = field(default_factory=list)

    def add(self, channel: str, *, found: bool, there: bool) -> None:
        """Count one channel."""
        self.hits += found and there
        self.alarms += found and not there
        self.missed += there and not found
        self.passed += not found and not there
        if found != there:
            self.wrong.append(f"{self.name}: {'found' if found else 'missed'} in {channel}")

    def row(self) -> Sequence[str]:
        """Return the score as the table has it."""
        positives, found = self.hits + self.missed, self.hits + self.alarms
        precision = f"{self.hits / found:.3f}" if found else "—"
        recall = f"{self.hits / positives:.3f}" if positives else "—"
        channels = positives + self.alarms + self.passed
        return self.name, f"{channels}", f"{positives}", precision, recall


def read_labels() -> list[Label]:
    """Read the labelled list."""
    with LABELS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def on_labels(folder: Path, labels: Sequence[Label]) -> Iterator[Score]:
    """Score every verdict that is labelled, in each half."""
    said = {name: channel_statistics(folder / name) for name in {each["file"] for each in labels}}
    for code in CODES:
        for half in HALVES:
            score = Score(f"{code}, {half}")
            for label in labels:
                if label["half"] == half and label[code] != "unsure":
                    channel = said[label["file"]][int(label["channel"])]
                    score.add(_name(label), found=has(channel, code), there=label[code] == "yes")
            yield score


def on_cuts(folder: Path, labels: Sequence[Label]) -> Iterator[Score]:
    """Score dropouts that are cut into channels that have none; as many stay uncut."""
    random = np.random.default_rng(SEED)
    scores = {half: Score(f"dropout, cut, {half}") for half in HALVES}
    whole = [label for label in labels if label["dropout"] == "no"]
    left = CUTS
    with tempfile.TemporaryDirectory(prefix="c3d-verdicts-") as temporary:
        path = Path(temporary) / "cut.c3d"
        while left:
            label = whole[random.integers(len(whole))]
            channel = _read(folder / label["file"], int(label["channel"]))
            if channel is None or kind(channel.name, channel.unit) is not Kind.EMG:
                continue
            left -= 1
            for cut in (True, False):
                samples = _cut(channel, random, hold=left % 2 == 0) if cut else channel.samples
                path.write_bytes(_file(samples, channel))
                found = has(channel_statistics(path)[0], "dropout")
                scores[label["half"]].add(_name(label), found=found, there=cut)
    yield from scores.values()


def has(channel: ChannelStatistics, code: str) -> bool:
    """Whether a channel got a verdict."""
    return any(verdict.code == code for verdict in channel.verdicts)


@dataclass(frozen=True, slots=True)
class _Channel:
    name: str
    unit: str
    rate: float
    samples: Values


def _read(path: Path, index: int) -> _Channel | None:
    """Read one channel; None where it is flat, or shorter than twice the longest cut."""
    with path.open("rb") as stream:
        metadata, layout = open_recording(stream.read(PREFIX_BYTES), path.stat().st_size)
        rate = rates(metadata, layout.channels, layout.samples_per_frame)[1]
        scaling = read_scaling(metadata, layout.channels)
        blocks = [block[index].copy() for block in sample_blocks(stream, metadata, layout, scaling)]
    samples = np.concatenate(blocks)
    if rate is None or len(samples) < 2 * CUT_SECONDS[1] * rate or not np.ptp(samples):
        return None
    names, units = (
        channel_texts(metadata, f"ANALOG:{what}", layout.channels) for what in ("LABELS", "UNITS")
    )
    return _Channel(names[index], units[index], rate, samples)


def _cut(channel: _Channel, random: np.random.Generator, *, hold: bool) -> Values:
    """Return the samples with a stretch of zeros, or of the value before it."""
    samples = channel.samples.copy()
    length = max(round(random.uniform(*CUT_SECONDS) * channel.rate), MIN_CUT)
    start = int(random.integers(1, len(samples) - length))
    samples[start : start + length] = samples[start - 1] if hold else 0.0
    return samples


def _file(samples: Values, channel: _Channel) -> bytes:
    groups: dict[str, Any] = {"ANALOG": {"UNITS": [channel.unit or " "]}}
    whole = len(samples) // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME
    return recording(
        samples[:whole, None].astype(np.float32),
        samples_per_frame=SAMPLES_PER_FRAME,
        frame_rate=channel.rate / SAMPLES_PER_FRAME,
        labels=[channel.name or " "],
        groups=groups,
    )


def _name(label: Label) -> str:
    return f"{Path(label['file']).stem}, channel {label['channel']} {label['name']}".rstrip()


def main(folder: Path) -> int:
    """Print precision and recall, and each channel that was judged wrong."""
    console = Console(width=100)
    if not folder.is_dir():
        console.print(f"There are no recordings in {folder}. Nothing was judged.")
        return 1
    labels = read_labels()
    scores = [*on_labels(folder, labels), *on_cuts(folder, labels)]
    table = Table("verdict", "channels", "of these have it", "precision", "recall", box=None)
    for score in scores:
        table.add_row(*score.row())
    console.print(table)
    for line in (line for score in scores for line in score.wrong):
        console.print(line, markup=False, highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else CORPUS))
