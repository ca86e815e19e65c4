"""How long a viewer waits for the first frame, at the round trips of real networks: Chromium, a relay and the server.

Each join is one run. What is joined is measured by `bench/join/join.js`, which drives the browser and is the relay; two
builds of the server, one of them given by --beside, take turns in it.
"""

from __future__ import annotations

import json
import shutil
from typing import Iterable, Optional

from comparison import rounds_of
from machine import ROOT
from outcome import Bar, Outcome, Panel, Series, Table
from processes import Failed
from rig import Options, Rig, progress
from run_result import Run
from servers import APP, SECRET, Ports, Ringcast
from spread import paired, ratio, spread, valid_by_round

SCRIPT = "bench/join/join.js"
# What the browser is driven by is installed with the tests.
DRIVER = ROOT / "tests" / "browser" / "node_modules" / "playwright-core"
RTTS, RTTS_QUICK = (0, 50, 100, 150, 250), (0, 100)
# Who offers decides who may begin the handshake.
WAYS = {"whep": "the viewer offers (WHEP)", "pull": "the server offers (tracks/new)"}
THIS, BESIDE = "this build", "the build beside it"
START_SECONDS, JOIN_SECONDS, JOIN_PATIENCE_SECONDS = 15, 2, 25
# The second server's ports lie between those of the first.
PORTS_APART = 4


def names(options: Options) -> list[str]:
    return [THIS, BESIDE] if options.beside else [THIS]


def rtts(options: Options) -> tuple[int, ...]:
    return RTTS_QUICK if options.quick else RTTS


def joins(options: Options) -> int:
    return rounds_of(options) * len(WAYS) * len(rtts(options)) * len(names(options))


def expected(options: Options) -> float:
    return START_SECONDS + joins(options) * JOIN_SECONDS


def carry_out(rig: Rig) -> Outcome:
    options, outcome = rig.options, Outcome()
    if not shutil.which("node") or not DRIVER.is_dir():
        raise Failed("joins need Node and the browser tests' packages: `npm ci` in tests/browser")
    started, flags = [], []
    try:
        for number, name in enumerate(names(options)):
            ports = Ports(options.ports.base + number * PORTS_APART)
            target = Ringcast(binary=options.beside if name == BESIDE else None)
            running = target.start(rig.children, options.programs, rig.place(), ports)
            started.append(running.child)
            flags.append(f"{name}=http://127.0.0.1:{ports.api},{ports.media}")
        command = ["node", SCRIPT, "--rounds", str(rounds_of(options)), "--app", APP, "--secret", SECRET]
        command += ["--rtts", ",".join(map(str, rtts(options))), "--ways", ",".join(WAYS), *flags]
        browser = rig.children.start(command, "join")
        started.append(browser)
        patience = START_SECONDS * 4 + joins(options) * JOIN_PATIENCE_SECONDS
        status = rig.children.wait(browser, patience)
        if status != 0:
            raise Failed(f"{SCRIPT} failed with status {status}: {browser.last_words()}")
        commands = [rig.written(child.command) for child in started]
        for found in results(browser.said()):
            add(outcome, found, commands, rounds_of(options))
    finally:
        for child in reversed(started):
            rig.children.stop(child)
    show(outcome, options)
    return outcome


def results(said: str) -> Iterable[dict]:
    return (json.loads(line) for line in said.splitlines() if line.startswith("{"))


def variant(name: str, way: str, rtt: int) -> str:
    return f"{name}, {way}, {rtt} ms"


def add(outcome: Outcome, found: dict, commands: list[str], rounds: int) -> None:
    number, error = found["round"], found.get("error")
    label = variant(found["server"], found["way"], found["rtt"])
    run = Run(label, number, False, commands, found, [error] if error else [], failed=bool(error))
    outcome.add(run, label, number, number == 1 and rounds > 1)
    if not error:
        progress(f"  {label}, round {number}: {found['ms']:,.0f} ms, DTLS {found['dtls']}, {found['profile']}")


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
