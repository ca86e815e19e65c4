"""What a series has found, in a form that is printed, drawn, written and judged without knowing the series."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Optional

from report.spread import Spread
from runs.run_result import Run


@dataclass
class Table:
    """Rows under named columns."""

    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)
    title: str = ""

    def markdown(self) -> str:
        head = [f"**{self.title}**", ""] if self.title else []
        head += [line(self.columns), line(["---"] * len(self.columns))]
        return "\n".join(head + [line(row) for row in self.rows])


def line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


@dataclass
class Bar:
    """One bar of a plot; without a value it is a row that says so."""

    label: str
    value: Optional[Spread]
    tone: int = 0


@dataclass
class Panel:
    """Bars that share a scale, and values that they are to be held against."""

    title: str
    bars: list[Bar]
    marks: list[tuple[float, str]] = field(default_factory=list)
    digits: int = 2


@dataclass
class Outcome:
    """Everything that a series has found."""

    tables: list[Table] = field(default_factory=list)
    panels: list[Panel] = field(default_factory=list)
    # What the verdict reads, by key.
    measures: dict[str, Spread] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    # What went wrong beyond void runs: the suite then ends with a status that is not zero.
    errors: list[str] = field(default_factory=list)
    # Further files of the series: name and text.
    files: dict[str, str] = field(default_factory=dict)

    def keep(self, key: str, found: Optional[Spread]) -> None:
        if found is not None:
            self.measures[key] = found

    def add(self, run: Run, variant: str, number: int, discarded: bool = False) -> Run:
        """Keeps a run. One that failed, and damage, are errors and not only void."""
        label = run.variant
        run.variant, run.round, run.discarded = variant, number, discarded
        self.runs.append(run)
        if run.failed:
            self.errors.append(f"{label}: " + "; ".join(run.void))
        elif run.figure("damaged"):
            self.errors.append(f"{label}: packets were damaged")
        return run

    def voids(self) -> int:
        return sum(1 for run in self.runs if run.void and not run.discarded)

    def summary(self) -> dict:
        return {
            "measures": {key: found.as_json() for key, found in self.measures.items()},
            "tables": [{"title": one.title, "columns": one.columns, "rows": one.rows} for one in self.tables],
            "notes": self.notes,
            "errors": self.errors,
            "runs": len(self.runs),
            "discarded": sum(1 for run in self.runs if run.discarded),
            "void": self.voids(),
        }


@dataclass(frozen=True)
class Series:
    """One question and the runs that answer it."""

    name: str
    title: str
    # Seconds that it is expected to take.
    expected: Callable[[object], float]
    carry_out: Callable[[object], Outcome]
