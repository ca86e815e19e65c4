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


def memory_sizes(options: Options) -> tuple[int, int]:
    """Few subscribers and many: what both runs have in common is no subscriber's."""
    return (20, 60) if options.quick else (100, 400)


def memory_runs(options: Options) -> int:
    return 1 if options.quick else MEMORY_RUNS


def memory_expected(options: Options) -> float:
    each = sum(fan_out(size).run_seconds(MEMORY_SECONDS) for size in memory_sizes(options))
    return memory_runs(options) * each


def memory(rig: Rig) -> Outcome:
    """Bytes that the server is larger by for each subscriber more: many beside few, each with a fresh server.

    The growth of one run would also count what the first media of any server takes: buffers of the kernel's datagrams,
    the arena, the cache of the publication. It stands in the table beside the other.
    """
    outcome = Outcome()
    count = memory_runs(rig.options)
    few, many = (fan_out(size) for size in memory_sizes(rig.options))
    for number in range(1, count + 1):
        for workload in (few, many):
            label = f"{workload.label}, run {number} of {count}"
            flags = [*workload.flags(), "--seconds", str(MEMORY_SECONDS)]
            run = outcome.add(rig.attempt(Ringcast(), flags, MEMORY_SECONDS, label), workload.label, number)
            progress(f"  {label}: {run.figure('memory', 'after_bytes')} bytes in all" + run.why_void())
    small, large = (valid_by_round([r for r in outcome.runs if r.variant == size.label]) for size in (few, many))
    rounds = sorted(small.keys() & large.keys())
    more = many.subscribers - few.subscribers
    each = spread(
        (in_kilobytes(large[number], "after_bytes") - in_kilobytes(small[number], "after_bytes")) / more
        for number in rounds
    )
    outcome.keep("memory", each)
    table = Table(["figure, KB", "rounds used", "median (min–max)"])
    used = f"{len(rounds)} of {count}"
    for name, found, digits in (
        (f"server with {few.subscribers} subscribers", spread(in_kilobytes(r, "after_bytes") for r in small.values()), 0),
        (f"server with {many.subscribers} subscribers", spread(in_kilobytes(r, "after_bytes") for r in large.values()), 0),
        ("each subscriber more", each, 1),
        (
            f"each of {many.subscribers}, with what the first media takes",
            spread(in_kilobytes(r, "per_subscriber_bytes") for r in large.values()),
            1,
        ),
    ):
        table.rows.append([name, used, found.text(digits) if found else "none is valid"])
    outcome.tables.append(table)
    bar = Bar("each subscriber more", each)
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
