"""What was measured, held against what it must be and what it should be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional

from report.outcome import Table
from report.spread import Spread

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Row:
    """One measure with its two bounds. `least` turns them round: more is better."""

    name: str
    key: str
    must: float
    aim: float
    must_text: str
    aim_text: str
    least: bool = False
    digits: int = 2
    unit: str = ""
    # Whether the aim itself does not suffice.
    strictly: bool = False

    def meets(self, value: float, bound: float, strictly: bool = False) -> bool:
        if self.least:
            return value >= bound
        return value < bound if strictly else value <= bound

    def judge(self, found: Optional[Spread]) -> str:
        """What the median says. The spread stands beside it."""
        if found is None:
            return NOT_MEASURED
        if not self.meets(found.median, self.must):
            return "not met"
        return "met, aim too" if self.meets(found.median, self.aim, self.strictly) else "met"

    def cells(self, found: Optional[Spread]) -> list[str]:
        text = "–" if found is None else found.text(self.digits) + self.unit
        return [self.name, self.must_text, self.aim_text, text, self.judge(found)]


def peer(name: str, size: str, must: int, aim: int) -> Row:
    key = f"peer {name.lower()} {size}"
    return Row(f"CPU per packet at {size} / {name}", key, 1 / must, 1 / aim, f"≤ 1/{must}", f"≤ 1/{aim}", digits=3)


def growth(name: str, key: str) -> Row:
    return Row(f"growth of CPU per packet, {name}", key, 1.25, 1.1, "≤ 1.25", "≤ 1.1")


def drivers(size: str) -> Row:
    name = f"CPU per packet at {size}, uring / mmsg"
    return Row(name, f"drivers {size}", 1.05, 1.0, "≤ 1.05", "< 1.0", strictly=True)


def connects(what: str, key: str) -> Row:
    return Row(f"connects per second and core, {what}", key, 2000.0, 3500.0, "≥ 2000", "≥ 3500", True, 0)


ROWS = [
    Row("CPU per packet at 1 → 200 / bare loop", "limit 1 → 200", 1.6, 1.25, "≤ 1.6", "≤ 1.25"),
    peer("Janus", "1 → 50", 12, 18),
    peer("mediasoup", "1 → 50", 4, 6),
    peer("mediasoup", "1 → 200", 4, 6),
    peer("mediasoup", "1 → 200 at half the rate", 4, 6),
    growth("1 → 50 to 1 → 1000", "growth 1 → 1000"),
    growth("1 line to 50 lines", "growth 50 lines"),
    Row("CPU per packet at 1 → 200, two shards / one", "shards", 1.1, 1.0, "≤ 1.1", "≤ 1.0"),
    drivers("1 → 50"),
    drivers("1 → 200"),
    Row("memory of a video subscriber", "memory", 100.0, 50.0, "≤ 100 KB", "≤ 50 KB", digits=1, unit=" KB"),
    Row("first frame of a newcomer / of a lone one", "newcomer", 1.2, 1.0, "≤ 1.2", "≤ 1.0"),
    Row("p99 while 200 clients connect / without", "storm", 1.5, 1.2, "≤ 1.5", "≤ 1.2"),
    Row("publishers stuck low, beyond direct ones", "uplink stuck", 0.0, 0.0, "≤ 0 %", "≤ 0 %", digits=1, unit=" %"),
    connects("media threads", "connects"),
    connects("whole server", "connects whole"),
    Row("delivered at 80 % of capacity", "delivered", 100.0, 100.0, "100 %", "100 %", True, 4, " %"),
    Row("p99 above the bare loop's at half load", "latency", 1.0, 0.2, "≤ 1 ms", "≤ 0.2 ms", unit=" ms"),
]


def table(measures: Callable[[str], Optional[Spread]]) -> Table:
    """The verdict on what was measured."""
    return Table(
        ["measure", "must", "aim", "median (min–max)", "verdict"], [row.cells(measures(row.key)) for row in ROWS]
    )
