"""Median, least and greatest of what valid runs showed, and ratios of pairs of runs.

Knows numbers and rounds only: neither what was measured nor how.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Callable, Iterable, Optional


@dataclass(frozen=True)
class Spread:
    """The median of some values, the least and greatest of them, and how many there were."""

    median: float
    low: float
    high: float
    count: int

    def as_json(self) -> dict:
        return {"median": self.median, "min": self.low, "max": self.high, "count": self.count}

    @staticmethod
    def from_json(found: dict) -> "Spread":
        return Spread(found["median"], found["min"], found["max"], found["count"])

    def text(self, digits: int = 2) -> str:
        if self.count == 1:
            return f"{self.median:,.{digits}f}"
        return f"{self.median:,.{digits}f} ({self.low:,.{digits}f}–{self.high:,.{digits}f})"


def spread(values: Iterable[Optional[float]]) -> Optional[Spread]:
    """The spread of the values that are there; nothing when none is."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Spread(statistics.median(known), min(known), max(known), len(known))


def valid_by_round(runs: Iterable) -> dict:
    """The runs that count, by round: neither those of the first round nor void ones."""
    return {run.round: run for run in runs if not run.discarded and not run.void}


def paired(upper: Iterable, lower: Iterable, combine: Callable[[object, object], Optional[float]]) -> Optional[Spread]:
    """Combines two runs of the same round, for each round in which both are valid.

    What disturbs a machine for a while disturbs both runs of a round alike, and so hardly moves what is taken from
    the pair; a median of one side over a median of the other would not have that property.
    """
    below = valid_by_round(lower)
    above = valid_by_round(upper)
    return spread(combine(above[number], below[number]) for number in sorted(above.keys() & below.keys()))


def ratio(upper: Optional[float], lower: Optional[float]) -> Optional[float]:
    """One by the other, where both are known and the lower is not zero."""
    if upper is None or not lower:
        return None
    return upper / lower
