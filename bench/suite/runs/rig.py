"""Carries out single runs: a fresh server, the load generator on another core, and the result that it leaves."""

from __future__ import annotations

import json
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from runs.machine import ROOT
from runs.processes import Child, Children, Failed
from runs.run_result import Run, void_reasons
from runs.servers import Place, Ports, Running, Target, shown
from runs.workload import Workload

# How long a load generator may take beyond what it measures.
LOAD_PATIENCE_SECONDS = 90.0
STATUS_VOID = 2
PROGRAMS = ("ringcast", "limit", "loadgen")


@dataclass(frozen=True)
class Options:
    """What the command line asked for."""

    rounds: int
    seconds: int
    quick: bool
    ports: Ports
    programs: Path
    # Another build of this server, to be measured beside it.
    beside: Optional[Path] = None


def default_programs() -> Path:
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    return target.relative_to(ROOT) if target.is_relative_to(ROOT) else target


class Rig:
    """The place of all runs."""

    def __init__(self, options: Options, children: Children) -> None:
        self.options = options
        self.children = children
        self.cores = sorted(os.sched_getaffinity(0))
        self.numbered = 0

    def place(self) -> Place:
        """Server on the first core, load generator on the second."""
        return Place(str(self.cores[0]), str(self.cores[min(1, len(self.cores) - 1)]))

    def place_of_two_shards(self) -> Place:
        """Server on two cores; the load generator has a third one where there is one."""
        if len(self.cores) < 2:
            return self.place()
        return Place(f"{self.cores[0]},{self.cores[1]}", str(self.cores[min(2, len(self.cores) - 1)]))

    def load_command(self, running: Running, place: Place, flags: list[str], label: str, out: Path) -> list[str]:
        command = [str(self.options.programs / "loadgen"), *running.load_flags, *flags]
        command += ["--address", place.load_address, "--server-pid", str(running.pid)]
        return place.for_load(command + ["--label", label, "--json", str(out)])

    def run(
        self,
        target: Target,
        flags: list[str],
        seconds: float,
        place: Optional[Place] = None,
        label: str = "",
        meanwhile: Optional[Callable[[Running, Child], None]] = None,
        must_arrive: bool = True,
    ) -> Run:
        """One run against a fresh server. `meanwhile` is called while the load generator is at work."""
        place = place or self.place()
        self.numbered += 1
        out = self.children.path(f"run-{self.numbered}.json")
        running = target.start(self.children, self.options.programs, place, self.options.ports)
        load = None
        try:
            command = self.load_command(running, place, flags, label, out)
            load = self.children.start(command, "loadgen")
            if meanwhile:
                meanwhile(running, load)
            status = self.children.wait(load, seconds + LOAD_PATIENCE_SECONDS)
            # The server must have lived through it, or what was measured is its end.
            if running.child.ended():
                raise Failed(f"the server ended during the run: {running.child.last_words()}")
        finally:
            self.children.stop(load)
            self.children.stop(running.child)
        result = read_result(out, status, load)
        commands = [self.written(running.child.command), self.written(command)]
        return Run(label, 0, False, commands, result, void_reasons(result, must_arrive))

    def attempt(self, target: Target, flags: list[str], seconds: float, label: str, **more: object) -> Run:
        """One run; what cannot be carried out is a run that does not count and says why."""
        try:
            return self.run(target, flags, seconds, label=label, **more)
        except Failed as failure:
            return Run(label, 0, False, [], {}, [f"failed: {failure}"], failed=True)

    def media(self, target: Target, workload: Workload, seconds: int, label: str, **more: object) -> Run:
        """One run of a workload."""
        return self.attempt(target, workload.flags() + ["--seconds", str(seconds)], seconds, label, **more)

    def written(self, command: list[str]) -> str:
        """A command as it can be typed at the root of the repository; what lies elsewhere on this machine has a short name."""
        text = shlex.join(command).replace(str(self.children.folder.name), "RESULTS")
        return text.replace(str(self.options.beside), "OLD") if self.options.beside else text


def read_result(out: Path, status: int, load: Child) -> dict:
    if status not in (0, STATUS_VOID):
        raise Failed(f"the load generator failed with status {status}: {load.last_words()}")
    try:
        result = json.loads(out.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Failed(f"the load generator left no result that can be read: {error}") from None
    if status == STATUS_VOID and not result.get("void"):
        result["void"] = ["the load generator calls it void and does not say why"]
    result.get("parameters", {}).pop("json", None)
    return result


def missing_programs(programs: Path) -> list[str]:
    return [shown(programs / name) for name in PROGRAMS if not os.access(ROOT / programs / name, os.X_OK)]


def say(text: str) -> None:
    print(text, flush=True)


def progress(text: str) -> None:
    """One line of what is being done, on a terminal or in a log."""
    print(text, file=sys.stderr, flush=True)
