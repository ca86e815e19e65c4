"""The series that compare CPU per forwarded packet: with the bare loop, among workloads, drivers and shards."""

from __future__ import annotations

from dataclasses import replace

from report.outcome import Bar, Outcome, Panel, Series
from report.spread import spread
from runs.comparison import Group, Ratio, Variant, carry_out, expected_seconds, good_runs
from runs.namespaces import VethPair
from runs.processes import Failed
from runs.rig import Options, Rig
from runs.servers import Limit, Ringcast
from runs.workload import VIDEO_KBPS, Workload, audio, fan_out
from series.peers import versions_groups, versions_notes

# 1 → 1000 at the rate of the others would be nearly more than a load generator on one core can take in.
LARGE_FAN_OUT = 1000
LARGE_FAN_OUT_KBPS = VIDEO_KBPS // 2
# Of series that no verdict hangs on.
FEWER_ROUNDS = 3
LINES = (10, 50)
# Longer than two frames are apart.
BETWEEN_FRAMES_US = 100_000
LIMIT_MARKS = ((1.6, "must"), (1.25, "aim"))
DRIVER_MARKS = ((1.05, "must"), (1.0, "aim"))
GROWTH_MARKS = ((1.25, "must"), (1.1, "aim"))


def sizes(options: Options, wanted: tuple[int, ...], quick: tuple[int, ...]) -> tuple[int, ...]:
    return quick if options.quick else wanted


def against_limit(workload: Workload) -> Group:
    """This server beside the bare loop."""
    ours, bare = f"{workload.label}, ringcast", f"{workload.label}, limit"
    return Group(
        [Variant(ours, Ringcast(), workload), Variant(bare, Limit(), workload)],
        [Ratio(f"limit {workload.label}", f"{workload.label}: ringcast / limit", ours, bare, LIMIT_MARKS)],
    )


def limit_groups(options: Options) -> list[Group]:
    sound = [] if options.quick else [audio(200)]
    return [against_limit(workload) for workload in [*map(fan_out, sizes(options, (1, 10, 50, 200), (10, 50))), *sound]]


def shape_groups(options: Options) -> list[Group]:
    base = Variant("1 → 50", Ringcast(), fan_out(50))
    variants, ratios = [base], []
    if not options.quick:
        variants.append(Variant("1 → 200", Ringcast(), fan_out(200)))
        ratios.append(Ratio("growth 1 → 200", "1 → 200 / 1 → 50", "1 → 200", base.name, GROWTH_MARKS))
    for lines in LINES[:1] if options.quick else LINES:
        name = f"1 → 50, {lines} lines"
        variants.append(Variant(name, Ringcast(), fan_out(50, lines=lines)))
        told = f"{lines} lines / 1 line, 1 → 50"
        ratios.append(Ratio(f"growth {lines} lines", told, name, base.name, GROWTH_MARKS))
    groups = [Group(variants, ratios)]
    if not options.quick:
        groups.append(large_fan_out())
    return groups


def large_fan_out() -> Group:
    """1 → 1000 and what it is compared with, both at the same lower rate."""
    large = fan_out(LARGE_FAN_OUT, video_kbps=LARGE_FAN_OUT_KBPS)
    small = replace(fan_out(50), video_kbps=LARGE_FAN_OUT_KBPS)
    rate = f"{large.packets_per_second()} packets/s"
    names = f"{large.label}, {rate}", f"{small.label}, {rate}"
    return Group(
        [Variant(names[0], Ringcast(), large), Variant(names[1], Ringcast(), small)],
        [Ratio("growth 1 → 1000", f"1 → 1000 / 1 → 50, both {rate}", *names, GROWTH_MARKS)],
    )


def load_groups(options: Options) -> list[Group]:
    rooms, size, callers, listeners = (4, 5, 4, (50,)) if options.quick else (20, 10, 8, (50, 200))
    workloads = [
        Workload(f"{rooms} rooms of 1 → {size}", rooms=rooms, subscribers=size),
        Workload(f"mesh of {callers}", mesh=callers),
        *map(audio, listeners),
    ]
    return [Group([Variant(workload.label, Ringcast(), workload)]) for workload in workloads]


Marks = tuple[tuple[float, str], ...]


def two_ways(
    options: Options,
    kind: str,
    name: str,
    ways: tuple[tuple[str, Ringcast], ...],
    marks: Marks = (),
    more: tuple[Workload, ...] = (),
) -> list[Group]:
    """Two settings or builds of this server, at two sizes and with more workloads; the ratio is the first by the second."""
    groups = []
    for workload in [*map(fan_out, sizes(options, (50, 200), (50,))), *more]:
        variants = [Variant(f"{workload.label}, {way}", server, workload) for way, server in ways]
        key = f"{kind} {workload.label}"
        groups.append(Group(variants, [Ratio(key, f"{workload.label}: {name}", *(v.name for v in variants), marks)]))
    return groups


def driver_groups(options: Options) -> list[Group]:
    ways = (("uring", Ringcast(io="uring")), ("mmsg", Ringcast(io="mmsg")))
    return two_ways(options, "drivers", "uring / mmsg", ways, DRIVER_MARKS)


def gso_groups(options: Options) -> list[Group]:
    ways = (("GSO on", Ringcast()), ("GSO off", Ringcast(gso=False)))
    return two_ways(options, "gso", "on / off", ways)


def by_the_first(kind: str, workload: Workload, ways: tuple[tuple[str, Ringcast], ...], place=None) -> Group:
    """Several settings of this server; the ratios are of each further one by the first."""
    variants = [Variant(f"{workload.label}, {way}", server, workload, place) for way, server in ways]
    (first, _), *further = ways
    ratios = [
        Ratio(f"{kind} {way} {workload.label}", f"{workload.label}: {way} / {first}", variant.name, variants[0].name)
        for (way, _), variant in zip(further, variants[1:])
    ]
    return Group(variants, ratios)


def polling_groups(options: Options) -> list[Group]:
    """What it brings to look for work before the sleep, and what it takes."""
    ways = (
        ("asleep at once", Ringcast()),
        ("asleep after 100 µs", Ringcast(busy_poll_us=100)),
        ("never asleep", Ringcast(busy_poll_us=BETWEEN_FRAMES_US)),
    )
    return [by_the_first("polling", fan_out(count), ways) for count in sizes(options, (1, 50), (1,))]


def shard_groups(options: Options) -> list[Group]:
    workload = fan_out(50 if options.quick else 200)
    one, two, both = (f"{workload.label}, {text}" for text in ("1 shard", "2 shards", "2 shards on one core"))
    return [
        Group(
            [
                Variant(one, Ringcast(), workload),
                Variant(two, Ringcast(shards=2), workload, Rig.place_of_two_shards),
                Variant(both, Ringcast(shards=2), workload),
            ],
            [
                Ratio("shards", f"{workload.label}: 2 shards / 1", two, one, ((1.1, "must"), (1.0, "aim"))),
                Ratio("shards on one core", f"{workload.label}: 2 shards on one core / 1", both, one),
            ],
        )
    ]


def port_groups(options: Options) -> list[Group]:
    """Two shards; the more datagrams come in for each that leaves, the more it matters how they find their shard."""
    rooms = 4 if options.quick else 20
    ways = (
        ("a port each", Ringcast(shards=2)),
        ("one port, steered", Ringcast(shards=2, steering="kernel")),
        ("one port, handed over", Ringcast(shards=2, steering="handover")),
    )
    workloads = [
        Workload(f"{rooms} rooms of 1 → {size}", rooms=rooms, subscribers=size)
        for size in sizes(options, (1, 10), (1,))
    ]
    return [by_the_first("ports", workload, ways, Rig.place_of_two_shards) for workload in workloads]


def veth_groups(options: Options, pair: VethPair) -> list[Group]:
    workload = fan_out(50)

    def across(rig: Rig):
        return pair.place(rig.place())

    ours, bare, near = (f"{workload.label}, {text}" for text in ("ringcast, veth", "limit, veth", "ringcast, loopback"))
    return [
        Group(
            [
                Variant(ours, Ringcast(), workload, across),
                Variant(bare, Limit(), workload, across),
                Variant(near, Ringcast(), workload),
            ],
            [
                Ratio("veth limit", "veth: ringcast / limit", ours, bare),
                Ratio("veth loopback", "ringcast: veth / loopback", ours, near),
            ],
        )
    ]


def carry_out_veth(rig: Rig) -> Outcome:
    pair = VethPair()
    try:
        with pair:
            return carry_out(rig, veth_groups(rig.options, pair), FEWER_ROUNDS)
    except Failed as failure:
        return Outcome(notes=[f"not measured here: {failure}"])


def carry_out_polling(rig: Rig) -> Outcome:
    groups = polling_groups(rig.options)
    outcome = carry_out(rig, groups)
    for part, name in (("p50", "Median latency, ms"), ("p99", "99th percentile of latency, ms")):
        panel = Panel(name, [])
        for tone, group in enumerate(groups):
            for variant in group.variants:
                found = spread(run.figure("latency_ms", part) for run in good_runs(outcome, variant.name))
                panel.bars.append(Bar(variant.name, found, tone))
                outcome.keep(f"{part} {variant.name}", found)
        outcome.panels.append(panel)
    return outcome


def carry_out_shards(rig: Rig) -> Outcome:
    outcome = carry_out(rig, shard_groups(rig.options))
    if len(rig.cores) < 3:
        outcome.notes.append(
            "This machine has no third core for the load generator: it shares a core with the second shard, which "
            "costs both some cache and switching."
        )
    return outcome


def carry_out_limit(rig: Rig) -> Outcome:
    outcome = carry_out(rig, [*limit_groups(rig.options), *versions_groups(rig.options)])
    outcome.notes += versions_notes()
    return outcome


def carry_out_shape(rig: Rig) -> Outcome:
    outcome = carry_out(rig, shape_groups(rig.options))
    outcome.notes.append(
        f"1 → {LARGE_FAN_OUT} and the 1 → 50 beside it send {LARGE_FAN_OUT_KBPS} kbit/s in place of {VIDEO_KBPS}, "
        "so that the core of the load generator does not saturate; the ratio compares equal rates."
    )
    return outcome


def of_groups(name: str, title: str, groups, rounds=None) -> Series:
    return Series(
        name,
        title,
        lambda options: expected_seconds(groups(options), options, rounds),
        lambda rig: carry_out(rig, groups(rig.options), rounds),
    )


def with_own_end(name: str, title: str, groups, end, rounds=None) -> Series:
    return Series(name, title, lambda options: expected_seconds(groups(options), options, rounds), end)


SERIES = [
    with_own_end(
        "limit",
        "This server beside the bare loop that only receives, copies, seals and sends",
        lambda options: [*limit_groups(options), *versions_groups(options)],
        carry_out_limit,
    ),
    with_own_end("shape", "How the cost of a packet grows with fan-out and with lines", shape_groups, carry_out_shape),
    of_groups("load", "Rooms, a mesh, and audio", load_groups, FEWER_ROUNDS),
    of_groups("drivers", "io_uring beside recvmmsg and sendmmsg", driver_groups),
    of_groups("gso", "Segmentation offload on and off", gso_groups, FEWER_ROUNDS),
    with_own_end("polling", "Looking for work before the sleep", polling_groups, carry_out_polling),
    with_own_end("shards", "Two shards beside one", shard_groups, carry_out_shards),
    of_groups("ports", "One port for all shards beside one for each", port_groups),
    with_own_end(
        "veth",
        "Two network namespaces in place of loopback",
        lambda options: veth_groups(options, VethPair()),
        carry_out_veth,
        FEWER_ROUNDS,
    ),
]
