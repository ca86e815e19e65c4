"""Series of one variant: what a subscriber takes in memory and what it costs idle, and how many can connect in a second."""

from __future__ import annotations

from typing import Callable, Iterable, Optional

from report.outcome import Bar, Outcome, Panel, Series, Table
from report.spread import Spread, spread, valid_by_round
from runs.comparison import rounds_of
from runs.rig import Options, Rig, progress
from runs.run_result import Run
from runs.servers import Ringcast
from runs.workload import Workload, fan_out

RUNS = 3
MEMORY_SECONDS = 2
IDLE_SECONDS = 8
# One packet a second for each subscriber: the least that shows that it is there.
IDLE_KBPS = 9
CONNECTS = 1000
CONNECTS_QUICK = 100
CONCURRENCY = 16
# What a connecting client costs the load generator, roughly: its own DTLS and three calls of the API.
SECONDS_PER_CONNECT = 0.004


def memory_workloads(options: Options) -> tuple[Workload, Workload]:
    """Few subscribers and many: what both runs have in common is no subscriber's."""
    few, many = (20, 60) if options.quick else (100, 400)
    return fan_out(few), fan_out(many)


def idle_workloads(options: Options) -> tuple[Workload, Workload]:
    few, many = (20, 60) if options.quick else (100, 1000)
    least = {"video_kbps": IDLE_KBPS, "frames_per_second": 1}
    return fan_out(few, **least), fan_out(many, **least)


def runs(options: Options) -> int:
    return 1 if options.quick else RUNS


def expected(options: Options, workloads: tuple[Workload, Workload], seconds: float) -> float:
    return runs(options) * sum(workload.run_seconds(seconds) for workload in workloads)


# The valid runs with few subscribers and with many, by their rounds.
Pair = list[dict[int, Run]]


def few_and_many(
    rig: Rig,
    outcome: Outcome,
    workloads: tuple[Workload, Workload],
    seconds: int,
    told: Callable[[Run], str],
    sides: tuple[tuple[str, Ringcast], ...] = (("", Ringcast()),),
) -> list[Pair]:
    """Runs both against each side in turn, each with a fresh server."""
    count = runs(rig.options)

    def name_of(side: str, workload: Workload) -> str:
        return f"{workload.label}, memory, {side}" if side else workload.label

    for number in range(1, count + 1):
        for side, target in sides:
            for workload in workloads:
                name = name_of(side, workload)
                label = f"{name}, run {number} of {count}"
                flags = [*workload.flags(), "--seconds", str(seconds)]
                run = outcome.add(rig.attempt(target, flags, seconds, label), name, number)
                progress(f"  {label}: {told(run)}" + run.why_void())
    return [
        [valid_by_round([r for r in outcome.runs if r.variant == name_of(side, one)]) for one in workloads]
        for side, _ in sides
    ]


def more_by_round(
    workloads: tuple[Workload, Workload], found: Pair, figure: Callable[[Run], Optional[float]]
) -> dict[int, float]:
    """By how much a figure grows with each subscriber more, for each round in which both runs are valid."""
    more = workloads[1].subscribers - workloads[0].subscribers
    small, large = ({number: figure(run) for number, run in side.items()} for side in found)
    known = [number for number in small if small[number] is not None and large.get(number) is not None]
    return {number: (large[number] - small[number]) / more for number in sorted(known)}


def each_more(
    workloads: tuple[Workload, Workload], found: Pair, figure: Callable[[Run], Optional[float]]
) -> Optional[Spread]:
    """The same over all rounds."""
    return spread(more_by_round(workloads, found, figure).values())


def memory(rig: Rig) -> Outcome:
    """Bytes that the server is larger by for each subscriber more: many beside few, each with a fresh server.

    The growth of one run would also count what the first media of any server takes: buffers of the kernel's datagrams,
    the arena, the cache of the publication. It stands in the table beside the other.
    """
    outcome = Outcome()
    workloads = memory_workloads(rig.options)
    (found,) = few_and_many(
        rig, outcome, workloads, MEMORY_SECONDS, lambda run: f"{run.figure('memory', 'after_bytes')} bytes in all"
    )
    each = each_more(workloads, found, lambda run: in_kilobytes(run, "after_bytes"))
    outcome.keep("memory", each)
    (few, many), (small, large) = workloads, found
    rows = (
        (f"server with {few.subscribers} subscribers", spread(in_kilobytes(r, "after_bytes") for r in small.values()), 0),
        (f"server with {many.subscribers} subscribers", spread(in_kilobytes(r, "after_bytes") for r in large.values()), 0),
        ("each subscriber more", each, 1),
        (
            f"each of {many.subscribers}, with what the first media takes",
            spread(in_kilobytes(r, "per_subscriber_bytes") for r in large.values()),
            1,
        ),
    )
    outcome.tables.append(marginal_table("figure, KB", rows, each, runs(rig.options)))
    bar = Bar("each subscriber more", each)
    outcome.panels.append(Panel("Memory of the server, KB", [bar], [(100.0, "must"), (50.0, "aim")], digits=1))
    return outcome


def idle(rig: Rig) -> Outcome:
    """CPU that a session takes in a second in which its client is there and one packet goes to it.

    What clients send by themselves is in it: connectivity checks, which are answered, and reports.
    """
    outcome = Outcome()
    workloads = idle_workloads(rig.options)
    (found,) = few_and_many(
        rig, outcome, workloads, IDLE_SECONDS, lambda run: f"{run.figure('server', 'cpu_ns')} ns of CPU in all"
    )
    each = each_more(workloads, found, cpu_of_a_second)
    outcome.keep("idle", each)
    rows = [
        (f"server with {workload.subscribers} sessions", spread(cpu_of_a_second(run) for run in valid.values()), 0)
        for workload, valid in zip(workloads, found)
    ]
    rows.append(("each session more", each, 1))
    outcome.tables.append(marginal_table("CPU of a second, µs", rows, each, runs(rig.options)))
    outcome.panels.append(Panel("CPU of a session in a second, µs", [Bar("each session more", each)], [], digits=1))
    return outcome


def marginal_table(
    title: str, rows: Iterable[tuple[str, Optional[Spread], int]], each: Optional[Spread], count: int
) -> Table:
    used = each.count if each else 0
    table = Table([title, "rounds used", "median (min–max)"])
    for name, found, digits in rows:
        table.rows.append([name, f"{used} of {count}", found.text(digits) if found else "none is valid"])
    return table


def cpu_of_a_second(run: Run) -> Optional[float]:
    """Microseconds of CPU of the whole server in a second of what was measured."""
    cpu, seconds = run.figure("server", "cpu_ns"), run.figure("seconds")
    return None if cpu is None or not seconds else cpu / 1000 / seconds


def in_kilobytes(run: Run, part: str):
    found = run.figure("memory", part)
    return None if found is None else found / 1000


def connect_count(options: Options) -> int:
    return CONNECTS_QUICK if options.quick else CONNECTS


def connect_flags(options: Options) -> list[str]:
    return ["--connects", str(connect_count(options)), "--concurrency", str(CONCURRENCY)]


def connects_expected(options: Options) -> float:
    return rounds_of(options) * (2.0 + SECONDS_PER_CONNECT * connect_count(options))


def connects(rig: Rig) -> Outcome:
    """Connections per second and core: ICE and DTLS up, one track pulled."""
    outcome = Outcome()
    wanted, count = connect_count(rig.options), rounds_of(rig.options)
    flags = connect_flags(rig.options)
    for number in range(1, count + 1):
        label = f"{wanted} connects, round {number} of {count}"
        run = outcome.add(rig.attempt(Ringcast(), flags, 0, label), "connects", number, number == 1 and count > 1)
        progress(f"  {label}: {run.figure('connects_per_core_second')} per second and core" + run.why_void())
    good = valid_by_round(outcome.runs).values()
    table = Table(["figure", "rounds used", "median (min–max)"])
    used = f"{len(good)} of {sum(1 for run in outcome.runs if not run.discarded)}"
    bars = []
    for name, path, key, digits in (
        ("one core, media threads", ("connects_per_core_second",), "connects", 0),
        ("one core, whole server with HTTP and SDP", ("connects_per_core_second_whole",), "connects whole", 0),
        ("made by the load generator", ("connects_per_second",), "connects made", 0),
        ("CPU of one connect, whole server, µs", ("server", "us_per_connect"), "", 1),
        ("CPU of one connect, media threads, µs", ("server", "shard_us_per_connect"), "", 1),
    ):
        found = spread(run.figure(*path) for run in good)
        told = name if not key else f"connects per second, {name}"
        table.rows.append([told, used, found.text(digits) if found else "none is valid"])
        if key:
            outcome.keep(key, found)
            bars.append(Bar(name, found, len(bars)))
    outcome.tables.append(table)
    outcome.panels.append(Panel("Connects per second", bars, [(2000.0, "must"), (3500.0, "aim")], digits=0))
    return outcome


SERIES = [
    Series(
        "memory",
        "What a subscriber of one video takes in memory",
        lambda options: expected(options, memory_workloads(options), MEMORY_SECONDS),
        memory,
    ),
    Series(
        "idle",
        "What a session costs to which next to nothing is sent",
        lambda options: expected(options, idle_workloads(options), IDLE_SECONDS),
        idle,
    ),
    Series("connects", "How many clients connect in a second", connects_expected, connects),
]
