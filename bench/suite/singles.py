"""Series of one variant: what a subscriber takes in memory, and how many can connect in a second."""

from __future__ import annotations

from comparison import rounds_of
from outcome import Bar, Outcome, Panel, Series, Table
from rig import Options, Rig, progress
from run_result import Run
from servers import Ringcast
from spread import spread, valid_by_round
from workload import fan_out

MEMORY_RUNS = 3
MEMORY_SECONDS = 2
CONNECTS = 1000
CONNECTS_QUICK = 100
CONCURRENCY = 16
# What a connecting client costs the load generator, roughly: its own DTLS and three calls of the API.
SECONDS_PER_CONNECT = 0.004


def memory_subscribers(options: Options) -> int:
    return 50 if options.quick else 200


def memory_runs(options: Options) -> int:
    return 1 if options.quick else MEMORY_RUNS


def memory_expected(options: Options) -> float:
    return memory_runs(options) * fan_out(memory_subscribers(options)).run_seconds(MEMORY_SECONDS)


def memory(rig: Rig) -> Outcome:
    """Bytes that the server grew by for each subscriber of one video."""
    outcome = Outcome()
    workload = fan_out(memory_subscribers(rig.options))
    count = memory_runs(rig.options)
    for number in range(1, count + 1):
        label = f"{workload.label}, run {number} of {count}"
        flags = [*workload.flags(), "--seconds", str(MEMORY_SECONDS)]
        run = outcome.add(rig.attempt(Ringcast(), flags, MEMORY_SECONDS, label), workload.label, number)
        progress(f"  {label}: {run.figure('memory', 'per_subscriber_bytes')} bytes" + run.why_void())
    good = valid_by_round(outcome.runs).values()
    each = spread(in_kilobytes(run, "per_subscriber_bytes") for run in good)
    outcome.keep("memory", each)
    table = Table(["subscribers", "runs used", "server before, KB", "server after, KB", "each subscriber, KB"])
    before, after = (spread(in_kilobytes(run, part) for run in good) for part in ("before_bytes", "after_bytes"))
    texts = [found.text(0) if found else "?" for found in (before, after)]
    table.rows.append(
        [str(workload.subscribers), f"{len(good)} of {count}", *texts, each.text(1) if each else "none is valid"]
    )
    outcome.tables.append(table)
    bar = Bar(f"each of {workload.subscribers} subscribers", each)
    outcome.panels.append(Panel("Memory of the server, KB", [bar], [(100.0, "must"), (50.0, "aim")], digits=1))
    return outcome


def in_kilobytes(run: Run, part: str):
    found = run.figure("memory", part)
    return None if found is None else found / 1000


def connect_count(options: Options) -> int:
    return CONNECTS_QUICK if options.quick else CONNECTS


def connects_expected(options: Options) -> float:
    return rounds_of(options) * (2.0 + SECONDS_PER_CONNECT * connect_count(options))


def connects(rig: Rig) -> Outcome:
    """Connections per second and core: ICE and DTLS up, one track pulled."""
    outcome = Outcome()
    wanted, count = connect_count(rig.options), rounds_of(rig.options)
    flags = ["--connects", str(wanted), "--concurrency", str(CONCURRENCY)]
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
    Series("memory", "What a subscriber of one video takes in memory", memory_expected, memory),
    Series("connects", "How many clients connect in a second", connects_expected, connects),
]
