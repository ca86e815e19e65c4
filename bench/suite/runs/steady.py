"""Waits until a run has reached its full rate, by the server's own counters, to look at it from outside then."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.request

from runs.processes import Child, Failed

SENT = re.compile(r'^ringcast_rtp_packets_total\{[^}]*direction="egress"[^}]*\} ([0-9.e+]+)$', re.MULTILINE)
PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.5
# Below this share of the expected rate not all subscribers are there yet.
FULL_SHARE = 0.95


def sent_packets(metrics: str) -> float:
    """RTP packets that a server has sent, by its metrics."""
    return sum(float(found) for found in SENT.findall(metrics))


class Egress:
    """The packets that leave a server."""

    def __init__(self, address: str, port: int) -> None:
        self.url = f"http://{address}:{port}/metrics"

    def read(self) -> tuple[float, float]:
        """The moment and the packets that were sent until then."""
        try:
            with urllib.request.urlopen(self.url, timeout=5) as answer:
                text = answer.read().decode()
        except (urllib.error.URLError, OSError) as error:
            raise Failed(f"{self.url} cannot be read: {error}") from None
        return time.monotonic(), sent_packets(text)

    def wait_for(self, per_second: float, load: Child) -> None:
        """Waits until the server sends at the rate that the workload asks for."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        before = self.read()
        while time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
            if load.ended():
                raise Failed(f"the load generator ended before the full rate: {load.last_words()}")
            after = self.read()
            if rate(before, after) >= FULL_SHARE * per_second:
                return
            before = after
        raise Failed(f"the full rate of {per_second:.0f} packets per second was not reached")


def rate(before: tuple[float, float], after: tuple[float, float]) -> float:
    """Packets per second between two readings."""
    return (after[1] - before[1]) / max(after[0] - before[0], 1e-9)
