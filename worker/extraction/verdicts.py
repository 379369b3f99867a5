"""What is wrong with a channel, as a code with a number or two, and as a sentence that helps.

Sources: SENIAM and the CEDE matrix (surface EMG lies in 20 to 450 Hz), and the real channels named
beside each threshold. Nothing is said where nothing can be known.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from worker.extraction.levels import MAX_LEVELS

# Of 14 raw channels of GHOSTLY three have 0.16 to 0.41 of it near the lines, all others at most
# 0.06, most of which is no hum: an even spectrum has 0.04.
MAINS_SHARE = 0.1  # of the power between 20 and 450 Hz
MOTION_SHARE = 0.8  # of all power; of the same 14 channels three have 0.92 to 0.98
MIN_STEPS, MAX_STEPS = 3, MAX_LEVELS  # distinct values of a coarse channel; two are a switch

REST_SHARE, MEAN_SHARE = 0.05, 0.4  # of the extreme: a raw signal with an offset is even about 0.5

FORCE_UNITS = {"n", "nm", "nmm", "n.m", "n.mm", "n*m", "n*mm", "nt", "ntmm", "newton", "newtons"}
# F1X, Fx1, FZ, M2Z, PF1Mx, "Force.Fx1": a letter, an axis, and the number of the plate; switches.
RESTING_NAME = re.compile(
    r"(?:^|[^a-z])[fmp]\d*[xyz]\d*$|force|moment|\bcop|switch|event|trigger|sync|fsw|footsw",
    re.IGNORECASE,
)
DERIVED_NAME = re.compile(r"activated|rectified|envelope|smooth", re.IGNORECASE)
OTHER_NAME = re.compile(
    r"\bpin ?\d|^gonio?|angle|torque|accel|\bacc|gyro|\bmag|pressure", re.IGNORECASE
)


class Kind(Enum):
    """What a channel records, as far as it decides which verdicts make sense."""

    EMG = auto()
    RESTING = auto()  # a force plate or a switch: holds a value while nothing happens
    DERIVED = auto()  # computed from EMG, and zero while nothing happens
    OTHER = auto()  # another sensor


@dataclass(frozen=True, slots=True)
class Verdict:
    """One fault of a channel. What does not apply to its code is None."""

    code: str  # clipped, dropout, mains, motion, flat, coarse
    share: float | None = None  # 0 to 1: of the samples (clipped) or of the power (mains, motion)
    count: int | None = None  # of dropouts, or of distinct values (coarse)
    seconds: float | None = None  # of all dropouts together; None too where the rate is unknown

    def as_json(self) -> dict[str, Any]:
        """Return the code and the numbers, rounded to three digits."""
        numbers = {"share": self.share, "count": self.count, "seconds": self.seconds}
        return {
            "code": self.code,
            **{
                name: float(f"{value:.3g}") if isinstance(value, float) else value
                for name, value in numbers.items()
                if value is not None
            },
        }


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was measured of a channel."""

    rectified: bool
    flat: bool
    clipped: float | None  # share of samples at the limits; None: it is not clipped
    dropouts: Sequence[int]  # the length of each, in samples
    rate: float | None  # Hz
    levels: int  # distinct values
    mains: float  # share; NaN where it cannot be known
    motion: float


def judge(evidence: Evidence, kind: Kind) -> tuple[tuple[Verdict, ...], tuple[str, ...]]:
    """Return the verdicts on a channel, the worst first, and the codes that cannot be judged.

    A verdict that makes no sense for the kind of channel is in neither.
    """
    if evidence.flat:
        return (Verdict("flat"),), ()
    found = []
    if lost := evidence.dropouts:
        seconds = sum(lost) / evidence.rate if evidence.rate else None
        found.append(Verdict("dropout", count=len(lost), seconds=seconds))
    if evidence.clipped is not None:
        found.append(Verdict("clipped", share=evidence.clipped))
    not_judged: tuple[str, ...] = ()
    if kind is Kind.EMG and not evidence.rectified:
        if math.isnan(evidence.mains):
            not_judged = ("mains", "motion")
        if evidence.mains >= MAINS_SHARE:
            found.append(Verdict("mains", share=evidence.mains))
        if evidence.motion >= MOTION_SHARE:
            found.append(Verdict("motion", share=evidence.motion))
    if is_coarse(evidence.levels):
        found.append(Verdict("coarse", count=evidence.levels))
    return tuple(found), not_judged


def is_coarse(levels: int) -> bool:
    """Whether so many distinct values are those of a quiet sensor of few steps."""
    return MIN_STEPS <= levels <= MAX_STEPS


def is_rectified(low: float, high: float, mean: float | None) -> bool:
    """Whether a signal keeps to one side of zero, and most of the time close to it."""
    if mean is None or (low < 0 < high):
        return False
    nearest, farthest = sorted((abs(low), abs(high)))
    return nearest <= REST_SHARE * farthest and abs(mean) <= MEAN_SHARE * farthest


def kind(name: str, unit: str) -> Kind:
    """Tell from its name and its unit what a channel records; EMG where they say nothing."""
    if unit.strip().lower() in FORCE_UNITS or RESTING_NAME.search(name):
        return Kind.RESTING
    if DERIVED_NAME.search(name):
        return Kind.DERIVED
    return Kind.OTHER if OTHER_NAME.search(name) else Kind.EMG


SENTENCES = {
    "dropout": "Samples were lost {times}{length}: keep the sensor near its receiver."
    " The RMS leaves them out.",
    "clipped": "The signal was cut off in {share} of the samples: lower the gain or fix the"
    " electrode. Its RMS is too low.",
    "mains": "{share} of the signal is mains hum: check electrodes and ground, unplug chargers.",
    "motion": "{share} of the power is movement below 20 Hz: fasten electrodes and cables.",
    "flat": "The signal never changes: the sensor was off or not connected.",
    "coarse": "The signal has only {count} different values: raise the gain, or the muscle was at"
    " rest.",
}


def sentence(verdict: Mapping[str, Any]) -> str:
    """Say in words what `Verdict.as_json` returned, and what helps."""
    count, seconds = verdict.get("count", 0), verdict.get("seconds")
    return SENTENCES.get(verdict["code"], "A newer version of this program found a fault.").format(
        times="once" if count == 1 else f"{count:,} times",
        length="" if seconds is None else f", {seconds:g} s in all",
        share=f"{float(format(100 * verdict.get('share', 0.0), '.2g')):g} %",
        count=f"{count:,}",
    )
