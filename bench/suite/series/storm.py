"""What viewers notice while a crowd connects: the 99th percentile of their latency, by that of the same without the crowd."""

from __future__ import annotations

import time
from typing import Optional

from report.outcome import Bar, Outcome, Panel, Series, Table
from report.spread import paired, ratio, spread, valid_by_round
from runs.comparison import rounds_of, runs_of
from runs.processes import Child, Failed
from runs.rig import Options, Rig, progress
from runs.run_result import Run
from runs.servers import Ringcast, Running
from runs.steady import Egress
from runs.workload import fan_out
from series.browser import BESIDE, THIS

CROWD, CROWD_QUICK = 200, 20
CROWD_PATIENCE_SECONDS = 60.0
# After the full rate is reached the load generator warms up for a second before it measures.
WARM_SECONDS = 1.2
VIEWERS = 50
MARKS = ((1.5, "must"), (1.2, "aim"))


def sides(options: Options) -> list[tuple[str, Ringcast]]:
    beside = [(BESIDE, Ringcast(binary=options.beside))] if options.beside else []
    return [(THIS, Ringcast()), *beside]


def expected(options: Options) -> float:
    run = fan_out(VIEWERS).run_seconds(options.seconds)
    return rounds_of(options) * len(sides(options)) * (2 * run + WARM_SECONDS)


class Crowd:
    """Clients that connect all at once in the middle of a run, on the core of the load generator when that is idle.

    Those who measure come first there, so that what is seen is the server's delay and not theirs.
    """

    def __init__(self, rig: Rig, count: int) -> None:
        self.rig, self.count = rig, count

    def __call__(self, running: Running, load: Child) -> None:
        rig, place = self.rig, self.rig.place()
        Egress(place.api_address, rig.options.ports.admin).wait_for(fan_out(VIEWERS).forwarded_per_second(), load)
        time.sleep(WARM_SECONDS)
        flags = ["--connects", str(self.count), "--concurrency", str(self.count)]
        out = rig.children.path("crowd.json")
        command = rig.load_command(running, place, flags, "crowd", out)
        crowd = rig.children.start(["chrt", "--idle", "0", *command], "crowd")
        status = rig.children.wait(crowd, CROWD_PATIENCE_SECONDS)
        if status != 0:
            raise Failed(f"the crowd has failed with status {status}: {crowd.last_words()}")
        if load.ended():
            raise Failed("the run ended before the crowd had connected: give it more --seconds")


def carry_out(rig: Rig) -> Outcome:
    options, outcome = rig.options, Outcome()
    rounds = rounds_of(options)
    workload = fan_out(VIEWERS)
    crowd = Crowd(rig, CROWD_QUICK if options.quick else CROWD)
    for number in range(1, rounds + 1):
        for name, target in sides(options):
            for kind, meanwhile in ((calm(name), None), (stormy(name), crowd)):
                label = f"{kind}, round {number} of {rounds}"
                run = rig.media(target, workload, options.seconds, label, meanwhile=meanwhile)
                outcome.add(run, kind, number, number == 1 and rounds > 1)
                found = late(run)
                progress(f"  {label}: " + (f"p99 {found:.2f} ms" if found is not None else "no figure") + run.why_void())
    show(outcome, options, crowd.count)
    return outcome


def calm(name: str) -> str:
    return f"{name}, alone"


def stormy(name: str) -> str:
    return f"{name}, with the crowd"


def late(run: Run) -> Optional[float]:
    return run.figure("latency_ms", "p99")


def show(outcome: Outcome, options: Options, crowd: int) -> None:
    """Fills table, panel and measures from the runs."""
    table = Table(["99th percentile of latency", "alone, ms", f"while {crowd} connect, ms", "ratio: median (min–max)"])
    panel = Panel("99th percentile of latency while a crowd connects, by the same without", [], list(MARKS))
    for tone, (name, _) in enumerate(sides(options)):
        alone, with_crowd = (runs_of(outcome, kind(name)) for kind in (calm, stormy))
        found = paired(with_crowd, alone, lambda a, b: ratio(late(a), late(b)))
        figures = (spread(map(late, valid_by_round(runs).values())) for runs in (alone, with_crowd))
        row = [name, *(one.text() if one else "none is valid" for one in figures)]
        table.rows.append([*row, found.text() if found else "none is valid"])
        panel.bars.append(Bar(name, found, tone))
        outcome.keep("storm" if name == THIS else f"storm {name}", found)
    outcome.tables.append(table)
    outcome.panels.append(panel)


SERIES = [Series("storm", "What viewers notice while a crowd connects", expected, carry_out)]
