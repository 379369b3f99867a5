"""What a benchmark finds: two medians side by side, how far they scatter, and what was aimed at."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Target:
    """A bound for the ratio, for our own value, or for how much larger ours is."""

    of: Literal["ratio", "ours", "difference"]
    bound: float
    at_least: bool = False

    def met(self, ours: float, other: float) -> bool:
        """Tell whether the two values keep the bound."""
        match self.of:
            case "ratio":
                value = ours / other
            case "ours":
                value = ours
            case "difference":
                value = ours - other
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        """As it stands in the table."""
        sign = "≥" if self.at_least else "≤"
        before = {"ratio": "ratio ", "ours": "", "difference": "difference "}[self.of]
        return f"{before}{sign} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One row: ours beside its rival, both measured in the same run, in turn."""

    name: str
    ours: float
    other: float
    unit: str
    other_is: str
    target: Target | None = None
    ours_range: tuple[float, float] | None = None
    other_range: tuple[float, float] | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours as a multiple of the other; None where the other is nothing."""
        return self.ours / self.other if self.other else None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        return self.target.met(self.ours, self.other) if self.target else None

    def row(self) -> dict[str, Any]:
        """As it is kept in the results."""
        return {
            "name": self.name,
            "ours": rounded(self.ours),
            "other": rounded(self.other),
            "ratio": None if self.ratio is None else rounded(self.ratio),
            "unit": self.unit,
            "other_is": self.other_is,
            "target": str(self.target) if self.target else None,
            "met": self.met,
            "ours_range": self.ours_range and [rounded(each) for each in self.ours_range],
            "other_range": self.other_range and [rounded(each) for each in self.other_range],
            "note": self.note,
        }


@dataclass(frozen=True, slots=True)
class Series:
    """Lines of a plot: what grows with what."""

    title: str
    x_is: str
    y_is: str
    x: Sequence[float]
    lines: Mapping[str, Sequence[float]]
    logarithmic: bool = True

    def row(self) -> dict[str, Any]:
        """As it is kept beside the results."""
        return {
            "title": self.title,
            "x_is": self.x_is,
            "y_is": self.y_is,
            "x": list(self.x),
            "lines": {name: [rounded(y) for y in ys] for name, ys in self.lines.items()},
            "logarithmic": self.logarithmic,
        }


def compared(
    name: str,
    unit: str,
    ours: Sequence[float],
    other: Sequence[float],
    other_is: str,
    *,
    target: Target | None = None,
    note: str = "",
) -> Measurement:
    """Reduce two lists of values to their medians and ranges."""
    return Measurement(
        name=name,
        ours=statistics.median(ours),
        other=statistics.median(other),
        unit=unit,
        other_is=other_is,
        target=target,
        ours_range=(min(ours), max(ours)),
        other_range=(min(other), max(other)),
        note=note,
    )


async def in_turn(
    rounds: int, *measures: Callable[[], Awaitable[float]]
) -> tuple[list[float], ...]:
    """Measure each, one after another, so many rounds: what disturbs one disturbs its rival."""
    values: tuple[list[float], ...] = tuple([] for _ in measures)
    for _ in range(rounds):
        for found, measure in zip(values, measures, strict=True):
            found.append(await measure())
    return values


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that so many percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * percent // 100) - 1))]


def rounded(value: float) -> float:
    """Keep four significant digits: more would be noise."""
    return float(f"{value:.4g}")
