"""Linux perf: what can be counted and sampled on this machine, and the text that it leaves."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Optional

from runs.machine import ROOT

MISSING = "perf is not installed (Debian: apt-get install linux-perf)"


def why_not(event: str) -> Optional[str]:
    """Why an event cannot be counted here, in one line; nothing when it can."""
    if not shutil.which("perf"):
        return MISSING
    command = ["perf", "stat", "-x", ";", "-e", event, "true"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        return f"perf refuses {event}: {lines[0] if lines else done.returncode}"
    value = counts(done.stderr).get(event)
    return f"perf says {value} for {event}" if isinstance(value, str) else None


def counts(text: str) -> dict[str, float | str]:
    """What `perf stat -x ;` counted: a number for each event, or the words that stand in place of one."""
    found: dict[str, float | str] = {}
    for line in text.splitlines():
        fields = line.split(";")
        if len(fields) < 3 or line.startswith("#"):
            continue
        try:
            found[fields[2]] = float(fields[0])
        except ValueError:
            found[fields[2]] = fields[0]
    return found


def samples(text: str) -> list[tuple[str, list[str]]]:
    """The samples of `perf script -F comm,tid,ip,sym`: thread and functions, the outermost first."""
    found = []
    for block in re.split(r"\n\s*\n", text):
        lines = [line for line in block.splitlines() if line.strip() and not line.startswith("#")]
        if not lines:
            continue
        thread = re.match(r"(.*?)\s+\d+\s*:?\s*$", lines[0])
        frames = [frame for frame in map(function_of, lines[1:]) if frame]
        # A name of a thread in brackets counts for that of the kernel.
        found.append((thread.group(1).strip() if thread else lines[0].strip(), frames[::-1]))
    return found


def function_of(line: str) -> Optional[str]:
    """The function of one line of a stack; nothing when perf does not know it."""
    found = re.match(r"\s*[0-9a-f]+\s+(.+)$", line)
    if not found:
        return None
    name = found.group(1).removesuffix(" (inlined)").strip()
    return None if name.startswith("[unknown]") else name
