"""Where the server spends its time at 1 → 200, by sampling its stacks: shares of stages and a flame graph."""

from __future__ import annotations

import subprocess

from report.flame import graph
from report.outcome import Bar, Outcome, Panel, Series, Table
from report.spread import spread
from report.stages import STAGES, count_stages, fold, folded_text
from runs import machine
from runs import perf
from runs.machine import ROOT
from runs.processes import Child, Failed
from runs.rig import Options, Rig, progress
from runs.run_result import ns_per_packet
from runs.servers import Ringcast, Running
from runs.steady import Egress
from runs.workload import Workload, fan_out

EVENT = "cpu-clock"
HERTZ = 1999
WINDOW_SECONDS = 10
WINDOW_SECONDS_QUICK = 3
# Stacks are unwound by the tables of the program: a release build keeps no frame pointers.
UNWINDING = "dwarf,8192"
SCRIPT_SECONDS = 240


def window(options: Options) -> int:
    return WINDOW_SECONDS_QUICK if options.quick else WINDOW_SECONDS


def workload_for(options: Options) -> Workload:
    return fan_out(50 if options.quick else 200)


def expected(options: Options) -> float:
    return workload_for(options).run_seconds(window(options) + 2) + 20


class Sampling:
    """Samples a server for a while in the middle of a run."""

    def __init__(self, rig: Rig, workload: Workload) -> None:
        self.rig = rig
        self.workload = workload
        self.data = rig.children.path("perf.data")

    def __call__(self, running: Running, load: Child) -> None:
        egress = Egress(self.rig.place().api_address, self.rig.options.ports.admin)
        egress.wait_for(self.workload.forwarded_per_second(), load)
        command = ["perf", "record", "-e", EVENT, "-F", str(HERTZ), "-g", "--call-graph", UNWINDING]
        command += ["-o", str(self.data), "-p", str(running.pid), "--", "sleep", str(window(self.rig.options))]
        child = self.rig.children.start(command, "perf")
        if self.rig.children.wait(child, window(self.rig.options) + 30) != 0:
            raise Failed(f"perf record: {child.last_words()}")

    def samples(self) -> list[tuple[str, list[str]]]:
        command = ["perf", "script", "-i", str(self.data), "--no-inline", "-F", "comm,tid,ip,sym"]
        try:
            done = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, timeout=SCRIPT_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"perf script did not end within {SCRIPT_SECONDS} s") from None
        if done.returncode != 0:
            raise Failed(f"perf script: {done.stderr.strip()[-200:]}")
        return perf.samples(done.stdout)


def carry_out(rig: Rig) -> Outcome:
    outcome = Outcome()
    reason = perf.why_not(EVENT)
    if reason:
        outcome.notes.append(f"not profiled here: {reason}")
        return outcome
    workload = workload_for(rig.options)
    sampling = Sampling(rig, workload)
    name = f"{workload.label}, sampled"
    run = outcome.add(rig.media(Ringcast(), workload, window(rig.options) + 2, name, meanwhile=sampling), name, 1)
    if run.failed:
        return outcome
    try:
        samples = sampling.samples()
    except Failed as failure:
        outcome.errors.append(str(failure))
        return outcome
    outcome.notes.append(f"{len(samples)} samples; being sampled slows the server, so the shares count, not the sum")
    shares(outcome, samples, ns_per_packet(run))
    folded = fold(samples)
    source = f"{machine.commit()}, {workload.label}, {workload.packets_per_second()} packets/s, {EVENT} at {HERTZ} Hz"
    outcome.files["profile.folded"] = folded_text(folded)
    outcome.files["profile-flame.svg"] = graph("Where the server spends its time", source, folded)
    progress(f"  {len(samples)} samples" + run.why_void())
    return outcome


def shares(outcome: Outcome, samples: list, cost) -> None:
    """The table and the plot of the stages."""
    counted = count_stages(samples)
    whole = max(len(samples), 1)
    table = Table(["stage", "share of CPU", "ns per packet while sampled"])
    panel = Panel("Share of the server's CPU, %", [], digits=1)
    for stage in STAGES:
        share = counted[stage] / whole
        table.rows.append([stage, f"{share:.1%}", f"{share * cost:,.0f}" if cost is not None else ""])
        panel.bars.append(Bar(stage, spread([share * 100])))
        outcome.keep(f"profile {stage}", spread([share]))
    outcome.tables.append(table)
    outcome.panels.append(panel)


SERIES = [Series("profile", "Where the server spends its time", expected, carry_out)]
