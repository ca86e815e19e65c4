"""Where the time of a sample went: the stage of the way of a packet that its functions belong to.

A stack is read from its innermost function outwards; the first one that a stage names decides. So memory that the
router copies counts for the router, and what the kernel does within a send counts for the send, its loopback included.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Iterable

OTHER = "other"
WAITING = "waiting and waking"

# Of each stage: how the names of its functions begin. Order decides among rules that meet the same function.
RULES: list[tuple[str, list[str]]] = [
    ("send", [
        r"(__)?(x64_)?(__)?sys_sendm", r"____sys_sendmsg", r"io_sendmsg", r"io_send", r"udp(v6)?_sendmsg",
        r"ringcast::net::(uring|mmsg|udp|sys)\b.*::(send|submit|transmit|flush)\w*$",
        r"ringcast::net::(ancillary|offload)\b",
    ]),
    ("net receive", [
        r"(__)?(x64_)?(__)?sys_recvm", r"____sys_recvmsg", r"io_recvmsg", r"io_recv", r"udp(v6)?_recvmsg",
        r"ringcast::net::(uring|mmsg|udp|sys)\b.*::(receive|reap|recv|arm|provide)\w*$",
        r"ringcast::net::(uring|mmsg)\b",
    ]),
    ("outbox", [r"ringcast::net::outbox\b"]),
    ("seal", [
        r"ringcast::srtp::cipher::\w+::seal", r"ringcast::srtp::\w+::\w*Sender\b",
        r"ringcast::session::egress::\w+::seal",
    ]),
    ("header", [r"ringcast::session::egress\b", r"ringcast::rtp::(header|extension)\b"]),
    ("demux", [r"ringcast::shard::(demux|table)\b"]),
    ("timers", [
        r"ringcast::shard::timers\b", r"ringcast::.*::(poll_timeout|handle_timeout|next_deadline)$", r"tokio::time\b",
        r"ringcast::session::reports\b",
    ]),
    (WAITING, [
        r"(do|ep|__x64_sys)_e?poll", r"io_cqring_wait", r"do_futex", r"tokio::runtime\b", r"mio::",
        r"ringcast::net::(host|wake)\b",
    ]),
    ("router", [
        r"ringcast::router\b", r"ringcast::shard::(forward|ingest|mailbox|publications)\b", r"ringcast::rtp\b",
    ]),
    ("session ingress", [r"ringcast::session\b", r"ringcast::srtp\b", r"(str0m\w*|dimpl|is|sctp_proto)::"]),
    # What is ours and of no stage: without it the frames around it would decide.
    (OTHER, [r"ringcast::"]),
]

STAGES = [
    "net receive", "demux", "session ingress", "router", "seal", "header", "outbox", "send", "timers", WAITING, OTHER
]
COMPILED = [(stage, re.compile("|".join(f"(?:{rule})" for rule in rules))) for stage, rules in RULES]
ENTERS_KERNEL = re.compile(r"(entry_SYSCALL|do_syscall|asm_|ret_from_fork)")


def plain(function: str) -> str:
    """A function without what surrounds its path: `<a::B as c::D>::f` is `a::B::f`, `a::<impl b::C>::f` is `a::f`."""
    name = re.sub(r"::<impl ([^<>]*?)( for [^<>]*)?>", "", function)
    return re.sub(r"^<(?:&(?:mut )?)?([^<>]*?)(?:<[^<>]*>)?(?: as [^>]*)?>", r"\1", name)


def stage_of(frames: list[str]) -> str:
    """The stage of a stack whose outermost function comes first."""
    for frame in reversed(frames):
        name = plain(frame)
        for stage, rule in COMPILED:
            if rule.match(name):
                return stage
    return WAITING if any(ENTERS_KERNEL.match(frame) for frame in frames) else OTHER


def count_stages(samples: Iterable[tuple[str, list[str]]]) -> Counter:
    return Counter(stage_of(frames) for _, frames in samples)


def fold(samples: Iterable[tuple[str, list[str]]]) -> Counter:
    """Equal stacks counted together, each with its thread as the outermost frame."""
    return Counter((thread, *frames) for thread, frames in samples)


def folded_text(folded: Counter) -> str:
    """One line for each stack: frames from outermost to innermost, and how often."""
    lines = (";".join(frame.replace(";", ",") for frame in stack) + f" {count}" for stack, count in folded.items())
    return "\n".join(sorted(lines)) + "\n"
