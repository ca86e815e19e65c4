"""This build of the server beside another one: a forwarded packet, a whole connect and a subscriber's memory, in turn."""

from __future__ import annotations

from typing import Optional

from report.outcome import Bar, Outcome, Panel, Series, Table
from report.spread import Spread, paired, ratio, spread, valid_by_round
from runs.comparison import Group, carry_out, expected_seconds, rounds_of, runs_of
from runs.rig import Options, Rig, progress
from runs.run_result import Run
from runs.servers import Ringcast
from runs.workload import audio
from series.browser import BESIDE, THIS
from series.compared import two_ways
from series.singles import (
    MEMORY_SECONDS, connect_flags, connects_expected, few_and_many, in_kilobytes, memory_workloads, more_by_round, runs,
)
from series.singles import expected as singles_expected

MARKS = ((1.02, "must"),)


def sides(options: Options) -> tuple[tuple[str, Ringcast], ...]:
    return ((THIS, Ringcast()), (BESIDE, Ringcast(binary=options.beside)))


def groups(options: Options) -> list[Group]:
    sound = () if options.quick else (audio(200),)
    return two_ways(options, "builds", f"{THIS} / {BESIDE}", sides(options), MARKS, sound)


def expected(options: Options) -> float:
    if not options.beside:
        return 0.0
    memory = 2 * singles_expected(options, memory_workloads(options), MEMORY_SECONDS)
    return expected_seconds(groups(options), options) + 2 * connects_expected(options) + memory


def carry_out_builds(rig: Rig) -> Outcome:
    if not rig.options.beside:
        return Outcome(notes=["not measured: it needs another build of the server, `--beside BINARY`"])
    outcome = carry_out(rig, groups(rig.options))
    connects(rig, outcome)
    memory(rig, outcome)
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


def memory(rig: Rig, outcome: Outcome) -> None:
    """Memory of one more subscriber of one video, of both builds."""
    workloads, told = memory_workloads(rig.options), lambda run: f"{run.figure('memory', 'after_bytes')} bytes in all"
    found = few_and_many(rig, outcome, workloads, MEMORY_SECONDS, told, sides(rig.options))
    count = runs(rig.options)
    each = [more_by_round(workloads, one, lambda run: in_kilobytes(run, "after_bytes")) for one in found]
    ratios = spread(ratio(each[0].get(number), each[1].get(number)) for number in range(1, count + 1))
    outcome.keep("builds memory", ratios)
    table = Table(["memory of one more subscriber of one video", "rounds used", "median (min–max)"])
    bars = []
    for (name, _), one in zip(sides(rig.options), map(lambda one: spread(one.values()), each)):
        bars.append(Bar(name, one, len(bars)))
        table.rows.append([f"{name}, KB", f"{one.count if one else 0} of {count}", one.text(1) if one else "none is valid"])
    text = ratios.text() if ratios else "none is valid"
    table.rows.append([f"{THIS} / {BESIDE}", f"{ratios.count if ratios else 0} of {count}", text])
    outcome.tables.append(table)
    outcome.panels.append(Panel("Memory of one more subscriber, KB", bars, digits=1))


def used(found: Optional[Spread], rounds: int) -> str:
    return f"{found.count if found else 0} of {rounds - (rounds > 1)}"


def microseconds(run: Run) -> Optional[float]:
    return run.figure("server", "us_per_connect")


SERIES = [
    Series("builds", "This build beside another one: a packet, a connect, a subscriber", expected, carry_out_builds)
]
