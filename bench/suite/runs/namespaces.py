"""Two network namespaces joined by a veth pair, made for one series and removed with it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

from runs.processes import Failed
from runs.servers import Place

PREFIX = "ringcast-bench-"
# Addresses for examples (RFC 5737): nothing else in the two namespaces can have them.
SERVER_ADDRESS = "192.0.2.1"
LOAD_ADDRESS = "192.0.2.2"


def ip(*arguments: str) -> None:
    try:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Failed("there is no `ip` (Debian: apt-get install iproute2)") from None
    if done.returncode != 0:
        raise Failed(f"ip {' '.join(arguments)}: {done.stderr.strip() or done.returncode}")


def remove(name: str) -> None:
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def remove_left_over() -> None:
    """Removes namespaces of suites that were killed before they could."""
    for found in Path("/run/netns").glob(PREFIX + "*"):
        owner = found.name[len(PREFIX) :].split("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            remove(found.name)


class VethPair:
    """The two namespaces, for as long as its context lasts."""

    def __init__(self) -> None:
        self.server = f"{PREFIX}{os.getpid()}-server"
        self.load = f"{PREFIX}{os.getpid()}-load"

    def __enter__(self) -> "VethPair":
        if os.geteuid() != 0:
            raise Failed("network namespaces need root")
        remove_left_over()
        try:
            for name in (self.server, self.load):
                ip("netns", "add", name)
                ip("-n", name, "link", "set", "lo", "up")
            ip("-n", self.server, "link", "add", "v0", "type", "veth", "peer", "name", "v0", "netns", self.load)
            for name, address in ((self.server, SERVER_ADDRESS), (self.load, LOAD_ADDRESS)):
                ip("-n", name, "address", "add", f"{address}/24", "dev", "v0")
                ip("-n", name, "link", "set", "v0", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        remove(self.server)
        remove(self.load)

    def place(self, place: Place) -> Place:
        """The same cores, with server and load generator on either side of the pair."""
        return replace(
            place,
            api_address=SERVER_ADDRESS,
            media_address=SERVER_ADDRESS,
            load_address=LOAD_ADDRESS,
            server_prefix=("ip", "netns", "exec", self.server),
            load_prefix=("ip", "netns", "exec", self.load),
        )
