"""Other servers beside this one, in alternating rounds on the same machine and workload."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace

from report.outcome import Outcome, Series
from runs.comparison import Group, Ratio, Variant, carry_out, expected_seconds
from runs.machine import ROOT, own_address
from runs.rig import Options, Rig, say
from runs.servers import Peer, Place, Ringcast, peers_that_exist, shown
from runs.workload import fan_out

# At 1 → 200 Janus is left out: it is far from that at 1 → 50. Half the rate is for machines on which one core of the
# others does not carry the whole.
LARGE_PEERS = ("mediasoup", "mediasoup-3.27", "pion")
# Two versions of one server, the newer first.
VERSIONS = ("mediasoup-3.27", "mediasoup")


def place(rig: Rig) -> Place:
    """Media on an address of the machine, for all alike: Janus refuses that of loopback."""
    address = own_address()
    return replace(rig.place(), media_address=address, load_address=address)


def groups_for(options: Options, peers: list[Peer]) -> list[Group]:
    groups = []
    few, many = fan_out(50), fan_out(200)
    slower = replace(many, label=f"{many.label} at half the rate", video_kbps=many.video_kbps // 2)
    for workload in (few,) if options.quick else (few, many, slower):
        taking_part = [peer for peer in peers if workload is few or peer.name in LARGE_PEERS]
        if not taking_part:
            continue
        ours = Variant(f"{workload.label}, ringcast", Ringcast(), workload, place)
        theirs = [Variant(f"{workload.label}, {peer.name}", peer, workload, place) for peer in taking_part]
        ratios = [
            Ratio(
                f"peer {peer.name} {workload.label}", f"{workload.label}: ringcast / {peer.name}", ours.name, side.name
            )
            for peer, side in zip(taking_part, theirs)
        ]
        groups.append(Group([ours, *theirs], ratios))
    return groups


def split() -> tuple[list[Peer], list[str]]:
    """The peers that can be measured here, and a line for each that cannot."""
    ready, lines = [], []
    for peer in peers_that_exist():
        reason = peer.why_not()
        if reason is None:
            ready.append(peer)
        else:
            lines.append(f"{peer.name} is left out: {reason}")
    return ready, lines or ([] if ready else ["there is no peer in bench/peers"])


def versions_groups(options: Options) -> list[Group]:
    """What became of another server, where both of its versions can be measured here."""
    versions = [Peer(name) for name in VERSIONS]
    if any(peer.why_not() for peer in versions):
        return []
    groups = []
    for workload in (fan_out(50),) if options.quick else (fan_out(50), fan_out(200)):
        variants = [Variant(f"{workload.label}, {peer.name}", peer, workload, place) for peer in versions]
        names = [variant.name for variant in variants]
        told = f"{workload.label}: {' / '.join(VERSIONS)}"
        groups.append(Group(variants, [Ratio(f"versions {workload.label}", told, *names)]))
    return groups


def versions_notes() -> list[str]:
    lines = [(name, Peer(name).why_not()) for name in VERSIONS]
    return [f"{name} is not beside the other version: {reason}" for name, reason in lines if reason]


def expected(options: Options) -> float:
    return expected_seconds(groups_for(options, split()[0]), options)


def carry_out_peers(rig: Rig) -> Outcome:
    peers, lines = split()
    outcome = carry_out(rig, groups_for(rig.options, peers)) if peers else Outcome()
    if lines and peers_that_exist():
        lines.append("`bench/run --install-peers` installs what is missing")
    outcome.notes += lines
    return outcome


def install() -> int:
    """Runs the `install` of each peer; returns how many failed."""
    failed = 0
    for peer in peers_that_exist():
        script = peer.script("install")
        if not os.access(script, os.X_OK):
            say(f"{peer.name}: there is no {shown(script)}")
            failed += 1
            continue
        say(f"{peer.name}: {shown(script)}")
        if subprocess.run([script], cwd=ROOT, check=False).returncode != 0:
            say(f"{peer.name}: it failed")
            failed += 1
    return failed


SERIES = [Series("peers", "Other servers, beside this one", expected, carry_out_peers)]
