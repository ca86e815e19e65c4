"""Processes that the suite starts: each is ended by its id, also when the suite is interrupted or fails.

Every child leads a session of its own, so that a signal from the terminal reaches the suite alone and children end in
order. Should the suite be killed outright, the kernel ends them.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Optional

from runs.machine import ROOT

STOP_PATIENCE_SECONDS = 10.0
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """Something that was started did not do what it is for; the text says what and why."""


def end_with_parent() -> None:
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


class Child:
    """One process that was started, and the file that it writes to."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.command = command
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def ended(self) -> bool:
        return self.process.poll() is not None

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def last_words(self) -> str:
        return " / ".join(self.said().strip().splitlines()[-4:]) or "it said nothing"

    def wait(self, seconds: float) -> int:
        """Waits for its end and returns its exit status."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"{shlex.join(self.command)} did not end within {seconds:.0f} s") from None

    def signal(self, number: int) -> None:
        if not self.ended():
            self.process.send_signal(number)

    def stop(self) -> None:
        """Asks it to end, waits, and ends what is left of its session."""
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


class Children:
    """All processes that are running for the suite. Leaving its context ends them."""

    def __init__(self) -> None:
        self.running: list[Child] = []
        self.folder = tempfile.TemporaryDirectory(prefix="ringcast-bench-")
        self.started = 0

    def __enter__(self) -> "Children":
        return self

    def __exit__(self, *_: object) -> None:
        for child in reversed(self.running[:]):
            self.stop(child)
        self.folder.cleanup()

    def path(self, name: str) -> Path:
        """A file of this run of the suite, removed at its end."""
        return Path(self.folder.name) / name

    def start(self, command: list[str], name: str) -> Child:
        self.started += 1
        child = Child(command, self.path(f"{self.started}-{name}.log"))
        self.running.append(child)
        return child

    def stop(self, child: Optional[Child]) -> None:
        if child is not None:
            child.stop()
            if child in self.running:
                self.running.remove(child)

    def wait(self, child: Child, seconds: float) -> int:
        """Waits for the end of a child that ends by itself."""
        try:
            return child.wait(seconds)
        finally:
            self.stop(child)


def wait_until(met, child: Child, seconds: float, what: str) -> None:
    """Waits until something is so, as long as the child that is to bring it about lives."""
    deadline = time.monotonic() + seconds
    while not met():
        if child.ended():
            raise Failed(f"{what}: {shlex.join(child.command)} ended: {child.last_words()}")
        if time.monotonic() > deadline:
            raise Failed(f"{what}: nothing after {seconds:.0f} s: {child.last_words()}")
        time.sleep(0.02)


def listens(pid: int, port: int) -> bool:
    """Whether something listens on a TCP port in the network namespace of a process."""
    wanted = f"{port:04X}"
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and fields[1].rsplit(":", 1)[1] == wanted:
                return True
    return False
