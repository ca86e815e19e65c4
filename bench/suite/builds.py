"""This build of the server beside another one: CPU of a forwarded packet and of a whole connect, in alternating rounds."""

from __future__ import annotations

from typing import Optional

from compared import two_ways
from comparison import Group, carry_out, expected_seconds, rounds_of, runs_of
from join import BESIDE, THIS
from outcome import Bar, Outcome, Panel, Series, Table
from rig import Options, Rig, progress
from run_result import Run
from servers import Ringcast
from singles import connect_flags, connects_expected
from spread import Spread, paired, ratio, spread, valid_by_round

MARKS = ((1.02, "must"),)


def sides(options: Options) -> tuple[tuple[str, Ringcast], ...]:
    return ((THIS, Ringcast()), (BESIDE, Ringcast(binary=options.beside)))


def groups(options: Options) -> list[Group]:
    return two_ways(options, "builds", f"{THIS} / {BESIDE}", sides(options), MARKS)


def expected(options: Options) -> float:
    if not options.beside:
        return 0.0
    return expected_seconds(groups(options), options) + 2 * connects_expected(options)


def carry_out_builds(rig: Rig) -> Outcome:
    if not rig.options.beside:
        return Outcome(notes=["not measured: it needs another build of the server, `--beside BINARY`"])
    outcome = carry_out(rig, groups(rig.options))
    connects(rig, outcome)
    return outcome


def connects(rig: Rig, outcome: Outcome) -> None:
    """CPU of a connect of both builds, with HTTP and SDP."""
    count = rounds_of(rig.options)
    names = [f"connects, {name}" for name, _ in sides(rig.options)]
    for number in range(1, count + 1):
        for name, (_, target) in zip(names, sides(rig.options)):
            label = f"{name}, round {number} of {count}"
            run = rig.attempt(target, connect_flags(rig.options), 0, label)
            outcome.add(run, name, number, number == 1 and count > 1)
            cost = microseconds(run)
            progress(f"  {label}: " + (f"{cost:,.0f} µs" if cost is not None else "no figure") + run.why_void())
    table = Table(["CPU of one connect, whole server", "rounds used", "median (min–max)"])
    bars = []
    for name in names:
        found = spread(microseconds(run) for run in valid_by_round(runs_of(outcome, name)).values())
        bars.append(Bar(name, found, len(bars)))
        table.rows.append([f"{name}, µs", used(found, count), found.text(0) if found else "none is valid"])
    found = paired(*(runs_of(outcome, name) for name in names), lambda a, b: ratio(microseconds(a), microseconds(b)))
    outcome.keep("builds connects", found)
    table.rows.append([f"{THIS} / {BESIDE}", used(found, count), found.text(3) if found else "none is valid"])
    outcome.tables.append(table)
    outcome.panels.append(Panel("CPU of one connect, whole server, µs", bars, digits=0))
    outcome.panels.append(Panel("Ratio of CPU of one connect", [Bar(f"{THIS} / {BESIDE}", found)], list(MARKS)))


def used(found: Optional[Spread], rounds: int) -> str:
    return f"{found.count if found else 0} of {rounds - (rounds > 1)}"


def microseconds(run: Run) -> Optional[float]:
    return run.figure("server", "us_per_connect")


SERIES = [
    Series("builds", "This build beside another one: a forwarded packet and a whole connect", expected, carry_out_builds)
]
