"""How long a viewer waits for the first frame, at the round trips of real networks: Chromium, a relay and the server.

Each join is one run. What is joined is measured by `bench/join/join.js`, which drives the browser and is the relay; two
builds of the server, one of them given by --beside, take turns in it.
"""

from __future__ import annotations

from typing import Optional

from report.outcome import Bar, Outcome, Panel, Series, Table
from report.spread import paired, ratio, spread, valid_by_round
from runs.comparison import rounds_of
from runs.rig import Options, Rig, progress
from runs.run_result import Run
from series import browser
from series.browser import START_SECONDS, names

SCRIPT = "bench/join/join.js"
RTTS, RTTS_QUICK = (0, 50, 100, 150, 250), (0, 100)
# Who offers decides who may begin the handshake.
WAYS = {"whep": "the viewer offers (WHEP)", "pull": "the server offers (tracks/new)"}
JOIN_SECONDS, JOIN_PATIENCE_SECONDS = 2, 25


def rtts(options: Options) -> tuple[int, ...]:
    return RTTS_QUICK if options.quick else RTTS


def joins(options: Options) -> int:
    return rounds_of(options) * len(WAYS) * len(rtts(options)) * len(names(options))


def expected(options: Options) -> float:
    return START_SECONDS + joins(options) * JOIN_SECONDS


def carry_out(rig: Rig) -> Outcome:
    options, outcome = rig.options, Outcome()
    flags = ["--rounds", str(rounds_of(options)), "--rtts", ",".join(map(str, rtts(options))), "--ways", ",".join(WAYS)]
    found, commands = browser.measured(rig, SCRIPT, flags, joins(options) * JOIN_PATIENCE_SECONDS)
    for one in found:
        add(outcome, one, commands, rounds_of(options))
    show(outcome, options)
    return outcome


def variant(name: str, way: str, rtt: int) -> str:
    return f"{name}, {way}, {rtt} ms"


def add(outcome: Outcome, found: dict, commands: list[str], rounds: int) -> None:
    label = variant(found["server"], found["way"], found["rtt"])
    if browser.add(outcome, found, label, commands, rounds):
        progress(f"  {label}, round {found['round']}: {found['ms']:,.0f} ms, DTLS {found['dtls']}, {found['profile']}")


def runs_of(outcome: Outcome, name: str, way: str, rtt: int) -> list[Run]:
    return [run for run in outcome.runs if run.variant == variant(name, way, rtt)]


def waited(run: Run) -> Optional[float]:
    return run.figure("ms")


def show(outcome: Outcome, options: Options) -> None:
    """Fills tables, panels and measures from the joins."""
    compares = options.beside is not None
    columns = ["round trip, ms", *(f"{name}, ms: median (min–max)" for name in names(options))]
    columns += ["ratio: median (min–max)"] if compares else []
    for way, told in WAYS.items():
        table = Table([*columns, "joins used", "DTLS, profile, role of the viewer"], title=f"First frame, {told}")
        panel = Panel(f"First frame, ms, {told}", [], digits=0)
        for rtt in rtts(options):
            sides = [runs_of(outcome, name, way, rtt) for name in names(options)]
            found = [spread(map(waited, valid_by_round(side).values())) for side in sides]
            row = [str(rtt), *(one.text(0) if one else "none is valid" for one in found)]
            for name, one, tone in zip(names(options), found, (0, 1)):
                panel.bars.append(Bar(f"{rtt} ms, {name}", one, tone))
            outcome.keep(f"join {way} {rtt} ms", found[0])
            if compares:
                ratios = paired(*sides, lambda a, b: ratio(waited(a), waited(b)))
                outcome.keep(f"join ratio {way} {rtt}", ratios)
                row.append(ratios.text() if ratios else "none is valid")
            counted = [run for run in sides[0] if not run.discarded]
            row += [f"{found[0].count if found[0] else 0} of {len(counted)}", negotiated(sides[0])]
            table.rows.append(row)
        outcome.tables.append(table)
        outcome.panels.append(panel)


def negotiated(runs: list[Run]) -> str:
    """What the joins agreed on; more than one thing is told as such."""
    good = [run.result for run in runs if not run.void]
    return "; ".join(sorted({f"{one['dtls']}, {one['profile']}, {one['role']}" for one in good}))


SERIES = [Series("join", "How long a viewer waits for the first frame", expected, carry_out)]
