"""What was measured on: machine and commit, as far as they can be known without asking anybody."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def output_of(*command: str) -> str:
    """What a command prints; empty when it is missing or fails."""
    if not shutil.which(command[0]):
        return ""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def cpu_model(cpuinfo: str) -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return found.group(1).strip() if found else "unknown"


def virtualisation() -> str:
    """The hypervisor, as far as the machine tells."""
    vendor = re.search(r"^Hypervisor vendor:\s*(.+)$", output_of("env", "LC_ALL=C", "lscpu"), re.MULTILINE)
    if vendor:
        return vendor.group(1).strip()
    flags = re.search(r"^flags\s*:.*\bhypervisor\b", text_of("/proc/cpuinfo"), re.MULTILINE)
    return "a hypervisor that does not say its name" if flags else "none seen"


def own_address() -> str:
    """An address of this machine that is not of loopback, where it has one. What is sent to it stays inside."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # This chooses a route and sends nothing.
            probe.connect(("198.51.100.1", 9))
        except OSError:
            return "127.0.0.1"
        return probe.getsockname()[0]


def facts() -> dict:
    cpuinfo = text_of("/proc/cpuinfo")
    family = re.search(r"^cpu family\s*:\s*(\d+)$", cpuinfo, re.MULTILINE)
    model = re.search(r"^model\s*:\s*(\d+)$", cpuinfo, re.MULTILINE)
    return {
        "cpu": cpu_model(cpuinfo),
        "cpu_family_and_model": [int(found.group(1)) for found in (family, model) if found],
        "cores": len(os.sched_getaffinity(0)),
        "kernel": text_of("/proc/sys/kernel/osrelease"),
        "virtualisation": virtualisation(),
        "memory_kb": int((re.search(r"MemTotal:\s*(\d+)", text_of("/proc/meminfo")) or [0, 0])[1]),
        "receive_buffer_max": int(text_of("/proc/sys/net/core/rmem_max") or 0),
        "load_average_at_start": text_of("/proc/loadavg").split(" ")[0],
    }


def commit() -> str:
    """The commit that is measured, with `-changed` when a file differs from it; results do not count as files."""
    found = output_of("git", "rev-parse", "--short", "HEAD")
    if not found:
        return "unknown"
    changed = output_of("git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/results")
    return found + ("-changed" if changed else "")


def today() -> str:
    return date.today().isoformat()


def sentence(machine: dict) -> str:
    return (
        f"{machine['cpu']}, {machine['cores']} cores, kernel {machine['kernel']}, "
        f"virtualisation: {machine['virtualisation']}"
    )
