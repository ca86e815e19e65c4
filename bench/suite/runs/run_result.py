"""One run: what the load generator reported, whether it counts, and the figures that are taken from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

# A load generator this busy measures itself.
OWN_BUSY_MAX = 0.9


def at(result: dict, *path: str) -> Optional[float]:
    """A number deep in a result, or nothing where the load generator did not know it."""
    value: object = result
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def total(value: object) -> float:
    """The sum of a number or of a table of numbers; nothing counts as zero."""
    if isinstance(value, dict):
        return sum(total(one) for one in value.values())
    return float(value) if isinstance(value, (int, float)) else 0.0


def missing_packets(result: dict) -> float:
    """Packets that neither arrived, nor were dropped for a counted reason, nor lost in full socket buffers.

    Less than zero when more arrived than was sent. The load generator knows which drops are of one subscriber and has
    taken these off; what was lost of a publisher is missing at all of its subscribers.
    """
    lost = total(result.get("expected")) - total(result.get("delivered"))
    if lost <= 0:
        return lost
    drops = total(result.get("dropped_by_reason"))
    unaccounted = at(result, "unaccounted")
    gap = lost - drops if unaccounted is None else unaccounted
    fan_out = total(result.get("expected")) / (total(result.get("sent")) or 1.0)
    of_publishers = total(result.get("server_socket_drops")) + (0.0 if unaccounted is None else drops)
    return max(gap - total(result.get("socket_drops")) - fan_out * of_publishers, 0.0)


def void_reasons(result: dict, must_arrive: bool = True) -> list[str]:
    """Why a run does not count; empty when it does.

    With `must_arrive` unset loss is what is being looked for: reports of loss and backlog do not make it void.
    """
    reasons = [] if not must_arrive else list(result.get("void") or [])
    if total(result.get("damaged", result.get("corrupt"))):
        reasons.append("packets were damaged")
    busy = at(result, "own", "busy")
    if busy is not None and busy > OWN_BUSY_MAX:
        reasons.append(f"the load generator was {busy:.0%} busy")
    if result.get("kind", "media") == "media":
        if not total(result.get("expected")):
            reasons.append("nothing was sent")
        gap = missing_packets(result)
        if must_arrive and gap:
            reasons.append(f"{gap:.0f} packets are not accounted for: sent is not received + dropped")
    # The load generator may have said the same in the same words.
    return list(dict.fromkeys(reasons))


@dataclass
class Run:
    """One run of one variant in one round."""

    variant: str
    round: int
    discarded: bool
    commands: list[str]
    result: dict = field(default_factory=dict)
    void: list[str] = field(default_factory=list)
    failed: bool = False

    def as_json(self) -> dict:
        return {
            "variant": self.variant,
            "round": self.round,
            "discarded": self.discarded,
            "void": self.void,
            "commands": self.commands,
            "result": self.result,
        }

    def why_void(self) -> str:
        """What a line about this run ends with."""
        return "".join(f"; VOID: {reason}" for reason in self.void)

    def figure(self, *path: str) -> Optional[float]:
        return at(self.result, *path)


def ns_per_packet(run: Run) -> Optional[float]:
    """Nanoseconds of server CPU for one forwarded packet."""
    exact = run.figure("server", "ns_per_packet")
    if exact is not None:
        return exact
    coarse = run.figure("server", "us_per_delivered_packet")
    return None if coarse is None else coarse * 1000
