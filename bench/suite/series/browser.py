"""What series with a real browser share: the servers beside each other, the script that drives Chromium, and what it says.

A script says one line of JSON for each thing that it has measured, with the name of the side and the round. Each is a run.
"""

from __future__ import annotations

import json
import shutil
from typing import Iterable, Optional

from report.outcome import Outcome
from runs.machine import ROOT
from runs.processes import Child, Failed
from runs.rig import Options, Rig
from runs.run_result import Run
from runs.servers import APP, SECRET, Ports, Ringcast, Running
from runs.steady import Egress
from runs.workload import Workload

# What the browser is driven by is installed with the tests.
DRIVER = ROOT / "tests" / "browser" / "node_modules" / "playwright-core"
THIS, BESIDE, DIRECT = "this build", "the build beside it", "another browser"
START_SECONDS = 15
# The longest that the load generator measures.
LOAD_SECONDS = 600
# The second server's ports lie between those of the first.
PORTS_APART = 4


def names(options: Options) -> list[str]:
    """The builds of the server that take part."""
    return [THIS, BESIDE] if options.beside else [THIS]


def measured(
    rig: Rig, script: str, flags: list[str], patience: float, direct: bool = False, load: Optional[Workload] = None
) -> tuple[list[dict], list[str]]:
    """Runs a script against each build of the server at once, and returns what it found and all commands.

    A load is what each server carries meanwhile.
    """
    options = rig.options
    if not shutil.which("node") or not DRIVER.is_dir():
        raise Failed("this needs Node and the browser tests' packages: `npm ci` in tests/browser")
    started, sides, loads = [], [], []
    try:
        for number, name in enumerate(names(options)):
            ports = Ports(options.ports.base + number * PORTS_APART)
            target = Ringcast(binary=options.beside if name == BESIDE else None)
            running = target.start(rig.children, options.programs, rig.place(), ports)
            started.append(running.child)
            if load:
                loads.append(carry(rig, running, ports, load))
                started.append(loads[-1])
            sides.append(f"{name}=http://127.0.0.1:{ports.api},{ports.media}")
        if direct:
            sides.append(f"{DIRECT}=direct")
        browser = rig.children.start(["node", script, "--app", APP, "--secret", SECRET, *flags, *sides], "browser")
        started.append(browser)
        status = rig.children.wait(browser, START_SECONDS * 4 + patience)
        if status != 0:
            raise Failed(f"{script} failed with status {status}: {browser.last_words()}")
        for child in loads:
            if child.ended():
                raise Failed(f"a load ended before the script did: {child.last_words()}")
        return list(results(browser.said())), [rig.written(child.command) for child in started]
    finally:
        for child in reversed(started):
            rig.children.stop(child)


def carry(rig: Rig, running: Running, ports: Ports, load: Workload) -> Child:
    """Has a server carry a load, from now on at its full rate. Whoever called ends it."""
    place = rig.place()
    flags = [*load.flags(), "--seconds", str(LOAD_SECONDS)]
    out = rig.children.path(f"load-{ports.base}.json")
    child = rig.children.start(rig.load_command(running, place, flags, "load", out), "loadgen")
    Egress(place.api_address, ports.admin).wait_for(load.forwarded_per_second(), child)
    return child


def results(said: str) -> Iterable[dict]:
    return (json.loads(line) for line in said.splitlines() if line.startswith("{"))


def add(outcome: Outcome, found: dict, label: str, commands: list[str], rounds: int) -> Optional[Run]:
    """Keeps what was found as a run. Returns it unless it has failed."""
    number, error = found["round"], found.get("error")
    run = Run(label, number, False, commands, found, [error] if error else [], failed=bool(error))
    outcome.add(run, label, number, number == 1 and rounds > 1)
    return None if error else run
