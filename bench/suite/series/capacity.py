"""The highest rate that loses nothing at 1 → 200, delivery at 80 % of it, and latency at half of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Optional

from report.outcome import Bar, Outcome, Panel, Series, Table
from report.spread import paired, spread, valid_by_round
from runs.comparison import latency, rounds_of
from runs.rig import Options, Rig, progress
from runs.run_result import OWN_BUSY_MAX, Run, total
from runs.servers import Limit, Ringcast
from runs.workload import Workload, fan_out

SEARCH_SECONDS = 2
FIRST_KBPS = 4400
TOP_KBPS = FIRST_KBPS * 32
BISECTIONS = 3
DELIVERY_SHARE = 0.8
DELIVERY_RUNS = 3
LATENCY_SHARE = 0.5
LATENCY_ROUNDS = 4
# With more waiting than this a rate is not held, it only has not overflowed yet.
BACKLOG_MS = 250.0


def search(holds: Callable[[int], bool], first: int, top: int, bisections: int) -> tuple[int, Optional[int]]:
    """The highest rate that was seen to hold (0 when none did) and the lowest that did not, if there was one."""
    good, bad, rate = 0, None, first
    while bad is None and rate <= top:
        if holds(rate):
            good, rate = rate, rate * 2
        else:
            bad = rate
    for _ in range(bisections if bad else 0):
        rate = (good + bad) // 20 * 10
        if rate in (good, bad) or rate <= 0:
            break
        if holds(rate):
            good = rate
        else:
            bad = rate
    return good, bad


def loss(run: Run) -> Optional[str]:
    """Why a run did not hold its rate; nothing when it did."""
    lost = total(run.result.get("expected")) - total(run.result.get("delivered"))
    busy = run.figure("own", "busy") or 0.0
    late = run.figure("latency_ms", "p99") or 0.0
    if busy > OWN_BUSY_MAX:
        return f"the load generator was {busy:.0%} busy"
    if lost > 0 and total(run.result.get("socket_drops")) >= lost:
        return f"the sockets of the load generator lost {lost:.0f} packets"
    if lost > 0:
        return f"{lost:.0f} packets were lost"
    if late > BACKLOG_MS:
        return f"a backlog built up: 99th percentile {late:.0f} ms"
    return "; ".join(run.void) or None


class Search:
    """The runs of the search, and why the last of them did not hold."""

    def __init__(self, rig: Rig, workload: Workload, outcome: Outcome) -> None:
        self.rig = rig
        self.workload = workload
        self.outcome = outcome
        self.why: dict[int, str] = {}

    def holds(self, kbps: int) -> bool:
        """Two tries: one lost packet in a noisy moment is not the end of what a server can do."""
        return any(self.reason(kbps) is None for _ in range(2))

    def reason(self, kbps: int) -> Optional[str]:
        workload = replace(self.workload, video_kbps=kbps)
        label = f"search, {workload.forwarded_per_second():,} packets/s"
        run = self.rig.media(Ringcast(), workload, SEARCH_SECONDS, label, must_arrive=False)
        # A server that cannot be run at all ends the search, and the reason is told there.
        run.variant = "search"
        self.outcome.runs.append(run)
        reason = loss(run)
        self.why[kbps] = reason or ""
        progress(f"  {label}: {reason or 'nothing lost'}")
        return reason


def subscribers(options: Options) -> int:
    return 50 if options.quick else 200


def expected(options: Options) -> float:
    workload = fan_out(subscribers(options))
    runs = 3 if options.quick else 13
    delivery = DELIVERY_RUNS * workload.run_seconds(options.seconds)
    pairs = rounds_of(options, LATENCY_ROUNDS) * 2 * workload.run_seconds(options.seconds)
    return runs * workload.run_seconds(SEARCH_SECONDS) + delivery + pairs


def carry_out(rig: Rig) -> Outcome:
    outcome = Outcome()
    workload = fan_out(subscribers(rig.options))
    tries = Search(rig, workload, outcome)
    top = FIRST_KBPS * 2 if rig.options.quick else TOP_KBPS
    good, bad = search(tries.holds, FIRST_KBPS, top, 0 if rig.options.quick else BISECTIONS)
    table = Table(["measure at " + workload.label, "runs used", "found"])
    outcome.tables.append(table)
    if not good:
        outcome.errors.append(f"no rate holds: {tries.why.get(bad or FIRST_KBPS, 'no reason is known')}")
        return outcome
    found = replace(workload, video_kbps=good).forwarded_per_second()
    end = f"the next rate: {tries.why[bad]}" if bad else "the search ends here, more was not tried"
    table.rows.append(["highest rate that loses nothing, packets/s", "search", f"{found:,} ({end})"])
    outcome.keep("capacity", spread([float(found)]))
    bar = Bar(workload.label, spread([float(found)]))
    outcome.panels.append(Panel("Forwarded packets per second without loss", [bar], digits=0))
    deliver(rig, replace(workload, video_kbps=int(good * DELIVERY_SHARE)), outcome, table)
    delay(rig, replace(workload, video_kbps=int(good * LATENCY_SHARE)), outcome, table)
    return outcome


def deliver(rig: Rig, workload: Workload, outcome: Outcome, table: Table) -> None:
    """What arrives at 80 % of the capacity."""
    runs = []
    for number in range(1, DELIVERY_RUNS + 1):
        label = f"{workload.forwarded_per_second():,} packets/s, run {number} of {DELIVERY_RUNS}"
        run = rig.media(Ringcast(), workload, rig.options.seconds, label, must_arrive=False)
        runs.append(outcome.add(run, f"{DELIVERY_SHARE:.0%} of capacity", number))
        progress(f"  {label}: {run.figure('delivered_ratio')} delivered" + run.why_void())
    good = valid_by_round(runs).values()
    share = spread(run.figure("delivered_ratio") for run in good)
    outcome.keep("delivered", spread(in_percent(run) for run in good))
    text = f"{share.median:.4%} ({share.low:.4%}–{share.high:.4%})" if share else "none is valid"
    table.rows.append([f"delivered at {DELIVERY_SHARE:.0%} of it", f"{len(good)} of {DELIVERY_RUNS}", text])
    table.rows.append(["latency there, p50 / p99 / p99.9, ms", f"{len(good)}", latency(list(good))])


def in_percent(run: Run) -> Optional[float]:
    share = run.figure("delivered_ratio")
    return None if share is None else share * 100


def delay(rig: Rig, workload: Workload, outcome: Outcome, table: Table) -> None:
    """Latency at half of the capacity beside that of the bare loop."""
    sides = {"ringcast": Ringcast(), "limit": Limit()}
    runs: dict[str, list[Run]] = {name: [] for name in sides}
    count = rounds_of(rig.options, LATENCY_ROUNDS)
    for number in range(1, count + 1):
        for name, target in sides.items():
            label = f"half load, {name}, round {number} of {count}"
            run = rig.media(target, workload, rig.options.seconds, label)
            runs[name].append(outcome.add(run, f"half load, {name}", number, number == 1 and count > 1))
            progress(f"  {label}: p99 {run.figure('latency_ms', 'p99')} ms" + run.why_void())
    bars = []
    for name in sides:
        good = list(valid_by_round(runs[name]).values())
        row = [f"latency at half of it, {name}, p50 / p99 / p99.9, ms", f"{len(good)} of {count - (count > 1)}"]
        table.rows.append([*row, latency(good) if good else "none is valid"])
        bars.append(Bar(f"{name}, p99", spread(run.figure("latency_ms", "p99") for run in good), len(bars)))
    above = paired(runs["ringcast"], runs["limit"], difference_of_p99)
    outcome.keep("latency", above)
    told = (str(above.count), above.text()) if above else ("0", "none is valid")
    table.rows.append(["p99 above that of the bare loop, ms", *told])
    bars.append(Bar("difference in a round", above, len(bars)))
    outcome.panels.append(Panel("Latency at half load, ms", bars))


def difference_of_p99(ours: Run, bare: Run) -> Optional[float]:
    upper, lower = ours.figure("latency_ms", "p99"), bare.figure("latency_ms", "p99")
    return None if upper is None or lower is None else upper - lower


SERIES = [Series("capacity", "The highest rate without loss, and delivery and latency below it", expected, carry_out)]
