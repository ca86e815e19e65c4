"""What is measured: this server, the bare loop `limit`, and other servers. Each is started afresh for each run."""

from __future__ import annotations

import os
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from runs.machine import ROOT
from runs.processes import Child, Children, Failed, listens, wait_until

APP = "0123456789abcdef0123456789abcdef"
SECRET = "bench-secret-of-this-machine-alone-0123456789"
PEERS = ROOT / "bench" / "peers"
READY_SECONDS = 20.0
PEER_READY_SECONDS = 60.0


@dataclass(frozen=True)
class Place:
    """Where server and load generator of a run are: their cores, their addresses, and what leads into a namespace."""

    server_cores: str
    load_cores: str
    # Of the API, and of the media of the server; then of the sockets of the load generator.
    api_address: str = "127.0.0.1"
    media_address: str = "127.0.0.1"
    load_address: str = "127.0.0.1"
    server_prefix: tuple[str, ...] = ()
    load_prefix: tuple[str, ...] = ()

    def for_server(self, command: list[str]) -> list[str]:
        return [*self.server_prefix, "taskset", "-c", self.server_cores, *command]

    def for_load(self, command: list[str]) -> list[str]:
        return [*self.load_prefix, "taskset", "-c", self.load_cores, *command]


@dataclass(frozen=True)
class Ports:
    """The ports of a run, from one base."""

    base: int

    @property
    def api(self) -> int:
        return self.base

    @property
    def admin(self) -> int:
        return self.base + 1

    @property
    def limit(self) -> int:
        return self.base + 2

    @property
    def peer(self) -> int:
        return self.base + 3

    @property
    def media(self) -> int:
        return self.base + 10


@dataclass
class Running:
    """A server that serves: the process whose CPU counts, and the flags that lead the load generator to it."""

    child: Child
    pid: int
    load_flags: list[str]


def api_flags(address: str, port: int) -> list[str]:
    return ["--api", f"http://{address}:{port}", "--app", APP, "--secret", SECRET]


def must_be_free(address: str, port: int, kind: int = socket.SOCK_STREAM) -> None:
    """A server of somebody else on our port would be measured in place of ours."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(kind == socket.SOCK_STREAM))
        try:
            probe.bind((address, port))
        except OSError as error:
            raise Failed(f"port {port} is taken ({error.strerror}): choose others with --base-port") from None


@dataclass(frozen=True)
class Ringcast:
    """This server."""

    shards: int = 1
    io: str = "auto"
    gso: bool = True
    # One port for all shards, and who brings datagrams to theirs: `kernel` or `handover`. One port each unless given.
    steering: Optional[str] = None
    # For how long a shard looks for work before it sleeps.
    busy_poll_us: int = 0
    # Another build of it; the one of this suite unless given.
    binary: Optional[Path] = None

    def start(self, children: Children, programs: Path, place: Place, ports: Ports) -> Running:
        address = place.api_address
        if not place.server_prefix:
            must_be_free(address, ports.api)
            must_be_free(place.media_address, ports.media, socket.SOCK_DGRAM)
        settings = [] if self.gso else ["RINGCAST_MEDIA_GSO=false"]
        if self.steering:
            settings += ["RINGCAST_MEDIA_SINGLE_PORT=true", f"RINGCAST_MEDIA_STEERING={self.steering}"]
        if self.busy_poll_us:
            settings += [f"RINGCAST_MEDIA_BUSY_POLL_MICROSECONDS={self.busy_poll_us}"]
        command = ["env", *settings] if settings else []
        command += [str(self.binary or programs / "ringcast"), "--shards", str(self.shards), "--io", self.io]
        command += ["--app", f"{APP}:{SECRET}", "--log", "warn", "--listen", f"{address}:{ports.api}"]
        command += ["--admin", f"{address}:{ports.admin}"]
        command += ["--media-port", str(ports.media), "--media-address", place.media_address]
        child = children.start(place.for_server(command), "ringcast")
        wait_until(lambda: listens(child.pid, ports.api), child, READY_SECONDS, "the server does not start")
        admin = ["--admin", f"http://{address}:{ports.admin}"]
        return Running(child, child.pid, api_flags(address, ports.api) + admin)


@dataclass(frozen=True)
class Limit:
    """The bare loop: receives, copies, seals and sends, and does nothing else."""

    gso: bool = True
    # What this server and the clients of the load generator agree on: both seal with the same cipher.
    cipher: str = "aes-128-gcm"

    def start(self, children: Children, programs: Path, place: Place, ports: Ports) -> Running:
        address = f"{place.media_address}:{ports.limit}"
        if not place.server_prefix:
            must_be_free(place.media_address, ports.limit, socket.SOCK_DGRAM)
        command = [str(programs / "limit"), "--listen", address, "--cipher", self.cipher]
        command += [] if self.gso else ["--gso", "off"]
        child = children.start(place.for_server(command), "limit")
        wait_until(lambda: "ready" in child.said(), child, READY_SECONDS, "the bare loop does not start")
        return Running(child, child.pid, ["--limit", address])


@dataclass(frozen=True)
class Peer:
    """Another server, started by its own script, which speaks the part of our API that the load generator uses."""

    name: str
    folder: Path = field(default=PEERS)

    def script(self, name: str) -> Path:
        return self.folder / self.name / name

    def start(self, children: Children, programs: Path, place: Place, ports: Ports) -> Running:
        must_be_free(place.api_address, ports.peer)
        pid_file = children.path(f"{self.name}.pid")
        pid_file.unlink(missing_ok=True)
        command = [shown(self.script("run")), "--listen", f"{place.api_address}:{ports.peer}"]
        command += ["--media-address", place.media_address, "--pidfile", str(pid_file)]
        child = children.start(place.for_server(command), self.name)
        serves = lambda: "ready" in child.said().split() and pid_file.exists()  # noqa: E731
        wait_until(serves, child, PEER_READY_SECONDS, f"{self.name} does not start")
        return Running(child, int(pid_file.read_text(encoding="ascii")), api_flags(place.api_address, ports.peer))

    def why_not(self) -> Optional[str]:
        """One line that says why it cannot be measured here; nothing when it can."""
        script = self.script("available")
        if not os.access(script, os.X_OK):
            return f"there is no {shown(script)}"
        try:
            done = subprocess.run([script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        except subprocess.TimeoutExpired:
            return f"{shown(script)} did not end within a minute"
        if done.returncode == 0:
            return None
        lines = (done.stdout + done.stderr).strip().splitlines()
        said = lines[0] if lines else f"{shown(script)} ended with status {done.returncode}"
        return said.removeprefix(self.name.split("-")[0] + ": ")


Target = Ringcast | Limit | Peer


def peers_that_exist(folder: Path = PEERS) -> list[Peer]:
    if not folder.is_dir():
        return []
    return [Peer(found.name, folder) for found in sorted(folder.iterdir()) if (found / "run").is_file()]


def shown(path: Path) -> str:
    """A path as a reader at the root of the repository writes it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
