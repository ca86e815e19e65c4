"""How soon a publisher finds out what its uplink carries: Chromium, what it believes 1.5 s after it has connected.

A browser begins at 300 kbit/s and sends a few packets quickly, to learn from the times at which they arrived whether more
goes through. Where those times are wrong it stays low for seconds. Each connection is one run; two builds of the server,
one of them given by --beside, and a direct connection between two browsers take turns.
"""

from __future__ import annotations

from typing import Optional

from report.outcome import Bar, Outcome, Panel, Series, Table
from report.spread import Spread, spread, valid_by_round
from runs.comparison import rounds_of
from runs.rig import Options, Rig, progress
from runs.run_result import Run
from runs.workload import fan_out
from series import browser
from series.browser import DIRECT, START_SECONDS, names

SCRIPT = "bench/join/uplink.js"
# With the four rounds of the suite that count these are forty connections to each, and one before that does not.
CONNECTIONS_OF_A_ROUND = 10
CONNECT_SECONDS, CONNECT_PATIENCE_SECONDS = 2.6, 25
# Below this a first probe has failed: the browser begins at 300, and one that succeeds leads to three times as much.
STUCK_KBPS = 450
# Bursts that keep a server at work for several milliseconds, so that packets of a probe come in the middle of a turn.
LOAD = fan_out(200, video_kbps=1100, frames_per_second=15)


def sides(options: Options) -> list[str]:
    return [*names(options), DIRECT]


def connections(options: Options) -> int:
    return rounds_of(options) if options.quick else (rounds_of(options) - 1 or 1) * CONNECTIONS_OF_A_ROUND + 1


def expected(options: Options) -> float:
    return START_SECONDS + connections(options) * len(sides(options)) * CONNECT_SECONDS


def carry_out(rig: Rig) -> Outcome:
    options, outcome = rig.options, Outcome()
    count = connections(options)
    patience = count * len(sides(options)) * CONNECT_PATIENCE_SECONDS
    found, commands = browser.measured(rig, SCRIPT, ["--rounds", str(count)], patience, direct=True, load=LOAD)
    for one in found:
        add(outcome, one, commands, count)
    show(outcome, options)
    return outcome


def add(outcome: Outcome, found: dict, commands: list[str], rounds: int) -> None:
    if browser.add(outcome, found, found["server"], commands, rounds):
        progress(f"  {found['server']}, {found['round']} of {rounds}: {found['kbps']} kbit/s")


def believed(run: Run) -> Optional[float]:
    return run.figure("kbps")


def good_runs(outcome: Outcome, name: str) -> list[Run]:
    return list(valid_by_round(run for run in outcome.runs if run.variant == name).values())


def stuck(runs: list[Run]) -> int:
    return sum(1 for run in runs if believed(run) < STUCK_KBPS)


def show(outcome: Outcome, options: Options) -> None:
    """Fills table, panel and measures from the connections."""
    table = Table(["Chromium sends to", f"below {STUCK_KBPS} kbit/s", "kbit/s: median (min–max)"])
    panel = Panel("What Chromium believes that it can send 1.5 s after it has connected, kbit/s", [], digits=0)
    panel.marks.append((float(STUCK_KBPS), "stuck below"))
    for tone, name in enumerate(sides(options)):
        runs = good_runs(outcome, name)
        found = spread(map(believed, runs))
        table.rows.append([name, f"{stuck(runs)} of {len(runs)}", found.text(0) if found else "none is valid"])
        panel.bars.append(Bar(name, found, tone))
        outcome.keep(f"uplink {name}", found)
    ours, direct = good_runs(outcome, names(options)[0]), good_runs(outcome, DIRECT)
    if ours and direct:
        more = 100 * (stuck(ours) / len(ours) - stuck(direct) / len(direct))
        outcome.keep("uplink stuck", Spread(more, more, more, 1))
    outcome.tables.append(table)
    outcome.panels.append(panel)
    outcome.notes.append(
        f"Meanwhile each build forwards {LOAD.label} in {LOAD.frames_per_second} bursts a second of "
        f"{LOAD.forwarded_per_second() // LOAD.frames_per_second} packets in all."
    )


SERIES = [Series("uplink", "How soon a publisher finds out what its uplink carries", expected, carry_out)]
