"""Variants that are measured in alternating rounds: A B A B, the first round discarded, ratios taken within rounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Iterable, Optional

from report.outcome import Bar, Outcome, Panel, Table
from report.spread import paired, ratio, spread, valid_by_round
from runs.rig import Options, Rig, progress
from runs.run_result import Run, ns_per_packet
from runs.servers import Place, Target
from runs.workload import Workload

# The first round warms caches and clocks up and is thrown away: it may be short.
DISCARDED_ROUND_SECONDS = 2
# A variant that failed this often is left alone: each further try costs the patience of its clients.
FAILURES_MAX = 2


@dataclass(frozen=True)
class Variant:
    """One side of a comparison."""

    name: str
    target: Target
    workload: Workload
    place: Optional[Callable[[Rig], Place]] = None


@dataclass(frozen=True)
class Ratio:
    """CPU per forwarded packet of one variant by that of another."""

    key: str
    name: str
    upper: str
    lower: str
    marks: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True)
class Group:
    """Variants whose runs lie side by side in each round, and what is taken from them."""

    variants: list[Variant]
    ratios: list[Ratio] = field(default_factory=list)


def rounds_of(options: Options, wanted: Optional[int] = None) -> int:
    return min(options.rounds, wanted) if wanted else options.rounds


def expected_seconds(groups: Iterable[Group], options: Options, rounds: Optional[int] = None) -> float:
    """About how long all rounds take."""
    seconds = 0.0
    for number in range(1, rounds_of(options, rounds) + 1):
        measured = seconds_of_round(number, options)
        seconds += sum(variant.workload.run_seconds(measured) for group in groups for variant in group.variants)
    return seconds


def seconds_of_round(number: int, options: Options) -> int:
    return min(DISCARDED_ROUND_SECONDS, options.seconds) if number == 1 else options.seconds


def carry_out(rig: Rig, groups: list[Group], rounds: Optional[int] = None) -> Outcome:
    """All rounds of all groups, and what they show."""
    outcome = Outcome()
    failures: dict[str, int] = {}
    count = rounds_of(rig.options, rounds)
    for number in range(1, count + 1):
        for group in groups:
            for variant in group.variants:
                if failures.get(variant.name, 0) >= FAILURES_MAX:
                    continue
                run = one_run(rig, variant, number, count, outcome)
                if run.failed:
                    failures[variant.name] = failures.get(variant.name, 0) + 1
    show(outcome, groups)
    return outcome


def one_run(rig: Rig, variant: Variant, number: int, count: int, outcome: Outcome) -> Run:
    label = f"{variant.name}, round {number} of {count}"
    place = variant.place(rig) if variant.place else None
    run = rig.media(variant.target, variant.workload, seconds_of_round(number, rig.options), label, place=place)
    # A single round is all there is to see.
    outcome.add(run, variant.name, number, number == 1 and count > 1)
    cost = ns_per_packet(run)
    progress(f"  {label}: " + (f"{cost:,.0f} ns per packet" if cost is not None else "no figure") + run.why_void())
    return run


def runs_of(outcome: Outcome, name: str) -> list[Run]:
    return [run for run in outcome.runs if run.variant == name]


def good_runs(outcome: Outcome, name: str) -> list[Run]:
    """Those that count."""
    return list(valid_by_round(runs_of(outcome, name)).values())


def show(outcome: Outcome, groups: list[Group]) -> None:
    """Fills tables, panels and measures from the runs."""
    table = Table(
        ["run", "rounds used", "CPU per packet, ns", "of it in the kernel", "delivered",
         "latency p50 / p99 / p99.9, ms", "load generator busy", "server kept waiting"]
    )
    ratios = Table(["ratio of CPU per packet", "rounds used", "median (min–max)"])
    panel = Panel("CPU per forwarded packet, ns", [], digits=0)
    ratio_panel = Panel("Ratio of CPU per forwarded packet", [])
    for tone, group in enumerate(groups):
        for variant in group.variants:
            runs = runs_of(outcome, variant.name)
            table.rows.append([variant.name, *cells(runs)])
            cost = spread(ns_per_packet(run) for run in good_runs(outcome, variant.name))
            panel.bars.append(Bar(variant.name, cost, tone))
            outcome.keep(f"ns {variant.name}", cost)
        for wanted in group.ratios:
            upper, lower = runs_of(outcome, wanted.upper), runs_of(outcome, wanted.lower)
            found = paired(upper, lower, lambda a, b: ratio(ns_per_packet(a), ns_per_packet(b)))
            outcome.keep(wanted.key, found)
            rounds = sum(1 for run in upper if not run.discarded)
            text = "none is valid" if found is None else found.text()
            ratios.rows.append([wanted.name, f"{found.count if found else 0} of {rounds}", text])
            ratio_panel.bars.append(Bar(wanted.name, found, tone))
            ratio_panel.marks += [mark for mark in wanted.marks if mark not in ratio_panel.marks]
    outcome.tables.append(table)
    outcome.panels.append(panel)
    if ratios.rows:
        outcome.tables.append(ratios)
        outcome.panels.append(ratio_panel)


def cells(runs: list[Run]) -> list[str]:
    """What a table says of the runs of one variant."""
    counted = [run for run in runs if not run.discarded]
    good = list(valid_by_round(runs).values())
    used = f"{len(good)} of {len(counted)}"
    if not good:
        reasons = list(dict.fromkeys(reason for run in counted for reason in run.void))
        return [used, "void: " + "; ".join(reasons)[:160] if reasons else "not run", "", "", "", "", ""]
    cost = spread(ns_per_packet(run) for run in good)
    shares = spread(ratio(run.figure("server", "system_ns_per_packet"), ns_per_packet(run)) for run in good)
    waited = spread(ratio(run.figure("server", "waited_ns"), nanoseconds(run)) for run in good)
    busy = spread(run.figure("own", "busy") for run in good)
    arrived = min(run.figure("delivered_ratio") or 0.0 for run in good)
    return [
        used,
        cost.text(0) if cost else "",
        f"{shares.median:.0%}" if shares else "",
        f"{arrived:.3%}" if arrived < 1 else "100 %",
        latency(good),
        f"{busy.median:.0%}" if busy else "",
        f"{waited.median:.1%}" if waited else "",
    ]


def nanoseconds(run: Run) -> Optional[float]:
    span = run.figure("span_s")
    return None if span is None else span * 1e9


def latency(runs: list[Run]) -> str:
    medians = [spread(run.figure("latency_ms", part) for run in runs) for part in ("p50", "p99", "p999")]
    return " / ".join(f"{one.median:.2f}" if one else "?" for one in medians)
