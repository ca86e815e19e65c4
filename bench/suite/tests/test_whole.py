"""The suite from end to end, with programs that only pretend: what is run, counted, written and ended."""

import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from runs.comparison import carry_out
from runs.machine import ROOT
from runs.processes import Children
from runs.rig import Options, Rig
from runs.servers import Peer, Ports
from series.builds import carry_out_builds
from series.compared import limit_groups
from series.singles import connects

SERVER = """#!{python}
import socket, sys, time
address, port = sys.argv[sys.argv.index("--listen") + 1].rsplit(":", 1)
kind = socket.SOCK_DGRAM if {datagrams} else socket.SOCK_STREAM
held = socket.socket(socket.AF_INET, kind)
held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
held.bind((address, int(port)))
if not {datagrams}:
    held.listen()
print("ready", flush=True)
while True:
    time.sleep(60)
"""

# Each run of the server costs a little more than the one before; the bare loop costs half.
LOAD = """#!{python}
import json, os, pathlib, sys, time
def value(flag, default=None):
    return sys.argv[sys.argv.index(flag) + 1] if flag in sys.argv else default
count = pathlib.Path(__file__).with_name("count")
number = int(count.read_text() or 0) + 1 if count.exists() else 1
count.write_text(str(number))
if {hang}:
    pathlib.Path(__file__).with_name("hangs").write_text(value("--server-pid"))
    time.sleep(60)
if number == {fails}:
    sys.exit("no such luck")
bare = "--limit" in sys.argv
void = ["a backlog"] if number == {void} else []
result = {{"kind": "media", "expected": 100, "delivered": 100, "delivered_ratio": 1.0, "damaged": 0, "void": void,
          "server": {{"ns_per_packet": 500 if bare else 1000, "system_ns_per_packet": 100}}, "own": {{"busy": 0.1}},
          "latency_ms": {{"p50": 1, "p99": 2, "p999": 3}}, "parameters": {{"subscribers": value("--subscribers")}},
          "memory": {{"after_bytes": 1e6 * number * number}}}}
if "--connects" in sys.argv:
    result = {{"kind": "connects", "void": void, "connects_per_core_second": 2500.0 + number,
              "server": {{"us_per_connect": 100.0 * number}}}}
pathlib.Path(value("--json")).write_text(json.dumps(result))
sys.exit(2 if void else 0)
"""


def is_free(base):
    """Whether all ports from a base that a run may use can be bound now."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        for port in range(base, base + 12):
            with socket.socket(socket.AF_INET, kind) as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    return False
    return True


def free_base():
    """A base port below those that the kernel hands out, another one for each process and test."""
    for _ in range(100):
        base = random.randrange(22000, 31000, 20)
        if is_free(base):
            return base
    raise AssertionError("no free ports")


class WholeRuns(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.programs = Path(folder.name) / "release"
        self.programs.mkdir()

    def pretend(self, void=-1, fails=-1, hang=False):
        texts = {
            "ringcast": SERVER.format(python=sys.executable, datagrams=False),
            "limit": SERVER.format(python=sys.executable, datagrams=True),
            "loadgen": LOAD.format(python=sys.executable, void=void, fails=fails, hang=hang),
        }
        for name, text in texts.items():
            (self.programs / name).write_text(text)
            (self.programs / name).chmod(0o755)

    def carry_out(self, series, rounds=3, beside=None):
        options = Options(rounds, 1, True, Ports(free_base()), self.programs, beside)
        with redirect_stderr(io.StringIO()), Children() as children:
            return series(Rig(options, children))

    def limit(self, rig):
        return carry_out(rig, limit_groups(rig.options)[:1])

    def test_rounds_alternate_and_the_first_is_discarded(self):
        self.pretend()
        outcome = self.carry_out(self.limit)
        order = [(run.round, run.variant.split(", ")[1], run.discarded) for run in outcome.runs]
        rounds = [(number, name, number == 1) for number in (1, 2, 3) for name in ("ringcast", "limit")]
        self.assertEqual(order, rounds)
        found = outcome.measures["limit 1 → 10"]
        self.assertEqual((found.median, found.count), (2.0, 2))
        self.assertEqual(outcome.errors, [])
        self.assertTrue(all("taskset" in command for run in outcome.runs for command in run.commands))

    def test_void_runs_are_kept_counted_and_not_used(self):
        self.pretend(void=3)
        outcome = self.carry_out(self.limit)
        self.assertEqual((len(outcome.runs), outcome.voids()), (6, 1))
        self.assertEqual(outcome.measures["limit 1 → 10"].count, 1)
        self.assertEqual(outcome.tables[0].rows[0][1], "1 of 2")

    def test_a_run_that_fails_is_an_error_and_the_others_go_on(self):
        self.pretend(fails=4)
        outcome = self.carry_out(self.limit)
        self.assertEqual(len(outcome.runs), 6)
        self.assertIn("no such luck", outcome.errors[0])
        self.assertEqual(outcome.measures["limit 1 → 10"].count, 1)

    def test_connects_are_measured_in_rounds_too(self):
        self.pretend()
        outcome = self.carry_out(connects)
        self.assertEqual(outcome.measures["connects"].count, 2)

    def test_two_builds_are_measured_in_turn(self):
        self.pretend()
        other = self.programs / "other"
        other.write_text((self.programs / "ringcast").read_text())
        other.chmod(0o755)
        outcome = self.carry_out(carry_out_builds, beside=other)
        self.assertEqual(outcome.errors, [])
        self.assertNotIn(str(other), " ".join(command for run in outcome.runs for command in run.commands))
        begun = [run.commands[0].startswith("taskset -c 0 OLD ") or run.commands[0].startswith("OLD ") for run in outcome.runs]
        # A packet and a connect take turns for three rounds; of memory there is one, with few subscribers and with many.
        self.assertEqual(begun, [False, True] * 6 + [False, False, True, True])
        self.assertEqual(outcome.measures["builds 1 → 50"].count, 2)
        # They were runs 13 to 16 of a load generator that says the square of that.
        self.assertAlmostEqual(outcome.measures["builds memory"].median, 27 / 31)
        # The runs before were six of media; each connect costs 100 µs more than the one before.
        self.assertAlmostEqual(outcome.measures["builds connects"].low, 900 / 1000)

    def test_builds_alone_say_what_is_missing(self):
        self.pretend()
        outcome = self.carry_out(carry_out_builds)
        self.assertEqual((outcome.runs, outcome.errors), ([], []))
        self.assertIn("--beside", outcome.notes[0])

    def test_nothing_is_left_running_after_an_interrupt(self):
        self.pretend(hang=True)
        environment = os.environ | {"CARGO_TARGET_DIR": str(self.programs.parent)}
        command = [ROOT / "bench" / "run", "--quick", "--no-build", "--base-port", str(free_base()), "--results",
                   self.programs.parent / "results", "limit"]
        suite = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        deadline = time.monotonic() + 20
        hangs = self.programs / "hangs"
        while not (hangs.exists() and hangs.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        server = int(hangs.read_text())
        self.assertTrue(Path(f"/proc/{server}").exists())
        suite.send_signal(signal.SIGINT)
        said, _ = suite.communicate(timeout=20)
        self.assertEqual(suite.returncode, 130, said)
        self.assertFalse(Path(f"/proc/{server}").exists())

    def test_the_command_writes_tables_runs_and_plots(self):
        self.pretend()
        results = self.programs.parent / "results"
        command = [ROOT / "bench" / "run", "--quick", "--no-build", "--base-port", str(free_base()), "--results",
                   results, "limit", "connects"]
        environment = os.environ | {"CARGO_TARGET_DIR": str(self.programs.parent)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        written = json.loads((results / "limit.json").read_text())
        self.assertEqual(written["summary"]["runs"], len(written["runs"]))
        self.assertEqual(written["summary"]["measures"]["limit 1 → 50"]["median"], 2.0)
        names = {found.name for found in results.iterdir()}
        drawn = {f"{name}.{ending}" for name in ("limit", "connects") for ending in ("json", "svg")}
        self.assertEqual(names, {"README.md", "machine.json"} | drawn)
        self.assertIn("| connects per second and core, media threads |", (results / "README.md").read_text())


class Peers(unittest.TestCase):
    def test_a_peer_that_is_not_available_says_why_in_a_line(self):
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "other" / "available"
            script.parent.mkdir()
            peer = Peer("other", Path(folder))
            self.assertIn("there is no", peer.why_not())
            script.write_text("#!/bin/sh\necho 'no package'\necho more\nexit 1\n")
            script.chmod(0o755)
            self.assertEqual(peer.why_not(), "no package")
            script.write_text("#!/bin/sh\nexit 0\n")
            self.assertIsNone(peer.why_not())


class ListOfSeries(unittest.TestCase):
    def test_the_list_names_each_series(self):
        import command_line

        said = io.StringIO()
        with redirect_stdout(said):
            self.assertEqual(command_line.main(["--list"]), 0)
        for name in command_line.NAMES:
            self.assertIn(name, said.getvalue())


if __name__ == "__main__":
    unittest.main()
