"""System calls and instructions for one forwarded packet, counted by the kernel while the full rate flows."""

from __future__ import annotations

from typing import Optional

from report.outcome import Bar, Outcome, Panel, Series, Table
from report.spread import Spread, spread
from runs import perf
from runs.processes import Child, Failed
from runs.rig import Options, Rig, progress
from runs.servers import Ringcast, Running
from runs.steady import Egress, rate
from runs.workload import Workload, fan_out

CALLS = "raw_syscalls:sys_enter"
INSTRUCTIONS = "instructions"
WINDOW_SECONDS = 4
DRIVERS = ("uring", "mmsg")


def sizes(options: Options) -> tuple[int, ...]:
    return (50,) if options.quick else (50, 200)


def expected(options: Options) -> float:
    return sum(fan_out(count).run_seconds(WINDOW_SECONDS + 2) for count in sizes(options)) * len(DRIVERS)


class Counting:
    """Counts for a while in the middle of a run."""

    def __init__(self, rig: Rig, workload: Workload, events: list[str]) -> None:
        self.rig = rig
        self.workload = workload
        self.events = events
        self.per_packet: dict[str, float | str] = {}

    def __call__(self, running: Running, load: Child) -> None:
        egress = Egress(self.rig.place().api_address, self.rig.options.ports.admin)
        egress.wait_for(self.workload.forwarded_per_second(), load)
        out = self.rig.children.path("perf-stat.txt")
        command = ["perf", "stat", "-x", ";", "-o", str(out), "-p", str(running.pid)]
        command += [part for event in self.events for part in ("-e", event)]
        before = egress.read()
        counter = self.rig.children.start([*command, "--", "sleep", str(WINDOW_SECONDS)], "perf")
        status = self.rig.children.wait(counter, WINDOW_SECONDS + 20)
        after = egress.read()
        if status != 0:
            raise Failed(f"perf stat: {counter.last_words()}")
        # The counters ran for the window, the packets were counted a little longer: so by rate.
        packets = rate(before, after) * WINDOW_SECONDS
        for event, value in perf.counts(out.read_text(encoding="utf-8")).items():
            self.per_packet[event] = value / packets if isinstance(value, float) else value


def carry_out(rig: Rig) -> Outcome:
    outcome = Outcome()
    reasons = {event: perf.why_not(event) for event in (CALLS, INSTRUCTIONS)}
    events = [event for event, reason in reasons.items() if reason is None]
    outcome.notes += [f"{event}: not counted here: {reason}" for event, reason in reasons.items() if reason]
    if not events:
        return outcome
    table = Table(["run", "system calls per packet", "instructions per packet, user and kernel"])
    panel = Panel("System calls per forwarded packet", [], digits=3)
    for count in sizes(rig.options):
        for io in DRIVERS:
            workload = fan_out(count)
            name = f"{workload.label}, {io}"
            counting = Counting(rig, workload, events)
            run = rig.media(Ringcast(io=io), workload, WINDOW_SECONDS + 2, name, meanwhile=counting)
            outcome.add(run, name, 1)
            calls = figure(counting, CALLS, bool(run.void))
            outcome.keep(f"syscalls {name}", calls)
            table.rows.append([name, cell(counting, CALLS, reasons), cell(counting, INSTRUCTIONS, reasons)])
            panel.bars.append(Bar(name, calls, count))
            progress(f"  {name}: {table.rows[-1][1]} system calls per packet" + run.why_void())
    outcome.tables.append(table)
    outcome.panels.append(panel)
    return outcome


def figure(counting: Counting, event: str, void: bool) -> Optional[Spread]:
    value = counting.per_packet.get(event)
    return spread([value]) if isinstance(value, float) and not void else None


def cell(counting: Counting, event: str, reasons: dict[str, Optional[str]]) -> str:
    if reasons[event]:
        return "not counted here"
    value = counting.per_packet.get(event, "no figure")
    return f"{value:,.4g}" if isinstance(value, float) else value


SERIES = [Series("syscalls", "System calls and instructions per forwarded packet", expected, carry_out)]
