"""The command line of `bench/run`: which series, how long, and where from; builds, runs, prints, writes, ends all."""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from report.outcome import Outcome, Series
from report.results import Results
from runs.machine import ROOT
from runs.processes import Children, Failed
from runs.rig import Options, Rig, default_programs, missing_programs, say
from runs.servers import Ports, shown
from series import builds
from series import capacity
from series import compared
from series import counted
from series import join
from series import newcomer
from series import peers
from series import profiled
from series import singles
from series import storm
from series import uplink

BASE_PORT = 21000
FILES_WANTED = 65536
ROUNDS, SECONDS = 5, 5
QUICK_ROUNDS, QUICK_SECONDS = 2, 2
INTERRUPTED = 130

SERIES: list[Series] = [
    *compared.SERIES, *builds.SERIES, *peers.SERIES, *singles.SERIES, *join.SERIES, *newcomer.SERIES, *uplink.SERIES,
    *storm.SERIES, *capacity.SERIES, *counted.SERIES, *profiled.SERIES,
]
NAMES = [series.name for series in SERIES]


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/run",
        description="Measures this server on this machine. bench/README.md says how to read what comes out.",
        epilog="Series: " + ", ".join(NAMES),
    )
    parser.add_argument("series", nargs="*", metavar="SERIES", help="which to run; all unless named")
    parser.add_argument("--list", action="store_true", help="list the series and how long they take, and end")
    parser.add_argument("--rounds", type=int, help=f"rounds, the first of them discarded [{ROUNDS}]")
    parser.add_argument("--seconds", type=int, help=f"seconds that a run measures [{SECONDS}]")
    parser.add_argument("--quick", action="store_true", help="a smoke test: short, small, good for no figure")
    parser.add_argument("--base-port", type=int, default=BASE_PORT, help="first of twenty ports [%(default)s]")
    parser.add_argument("--results", type=Path, help="folder for results [bench/results/<date>-<commit>]")
    parser.add_argument("--beside", type=Path, metavar="BINARY", help="another build of the server, beside which `builds`, `join`, `newcomer`, `uplink` and `storm` measure this one")
    parser.add_argument("--no-build", action="store_true", help="take the programs as they are")
    parser.add_argument("--install-peers", action="store_true", help="install what the other servers need, and end")
    chosen = parser.parse_args(words)
    unknown = [name for name in chosen.series if name not in NAMES]
    if unknown:
        parser.error(f"there is no series {', '.join(unknown)}; there are: {', '.join(NAMES)}")
    chosen.rounds = chosen.rounds or (QUICK_ROUNDS if chosen.quick else ROUNDS)
    chosen.seconds = chosen.seconds or (QUICK_SECONDS if chosen.quick else SECONDS)
    if chosen.rounds < 1 or chosen.seconds < 1 or not 1024 <= chosen.base_port <= 65500:
        parser.error("rounds and seconds are at least 1, the base port is between 1024 and 65500")
    if chosen.beside and not os.access(chosen.beside, os.X_OK):
        parser.error(f"{chosen.beside} is no program: --beside takes a build of the server, such as an older one")
    chosen.beside = chosen.beside and chosen.beside.resolve()
    return chosen


def minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"


def show_list(options: Options) -> None:
    whole = 0.0
    for series in SERIES:
        expected = series.expected(options)
        whole += expected
        say(f"{series.name:<10} {minutes(expected):>9}  {series.title}")
    say(f"{'all':<10} {minutes(whole):>9}")


def build() -> None:
    done = subprocess.run(["cargo", "build", "--release", "--workspace", "--bins", "--locked"], cwd=ROOT, check=False)
    if done.returncode != 0:
        raise Failed("cargo build failed")


def allow_many_files() -> None:
    """A thousand clients have a thousand sockets, on both sides."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, FILES_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def interrupt(*_: object) -> None:
    # Asked twice, it still ends what it has started.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def run_all(rig: Rig, wanted: list[Series], results: Results) -> list[str]:
    """Runs series after series; returns what went wrong."""
    errors: list[str] = []
    for number, series in enumerate(wanted, 1):
        about = f"{number} of {len(wanted)}, about {minutes(series.expected(rig.options))}"
        say(f"\n## {series.name}: {series.title} ({about})\n")
        begun = time.monotonic()
        try:
            outcome = series.carry_out(rig)
        except Failed as failure:
            outcome = Outcome(errors=[str(failure)])
        results.write(series, outcome, time.monotonic() - begun)
        for table in outcome.tables:
            say(table.markdown() + "\n")
        for note in outcome.notes:
            say(note)
        if outcome.voids():
            say(f"{outcome.voids()} runs are void and are not counted; their reasons are in {shown(results.folder)}")
        for error in outcome.errors:
            say(f"ERROR: {error}")
        say(f"took {minutes(time.monotonic() - begun)}")
        errors += [f"{series.name}: {error}" for error in outcome.errors]
    return errors


def main(words: list[str]) -> int:
    chosen = arguments(words)
    options = Options(chosen.rounds, chosen.seconds, chosen.quick, Ports(chosen.base_port), default_programs(),
                      chosen.beside)
    if chosen.install_peers:
        return 1 if peers.install() else 0
    if chosen.list:
        show_list(options)
        return 0
    os.chdir(ROOT)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        named = ["OLD" if chosen.beside and Path(word) == chosen.beside else word for word in words]
        return measure(chosen, options, shlex.join(["bench/run", *named]))
    except KeyboardInterrupt:
        print("interrupted; everything that was started has been ended", file=sys.stderr)
        return INTERRUPTED
    except Failed as failure:
        print(f"bench/run: {failure}", file=sys.stderr)
        return 1


def measure(chosen: argparse.Namespace, options: Options, command: str) -> int:
    if not chosen.no_build:
        build()
    missing = missing_programs(options.programs)
    if missing:
        raise Failed(f"not there: {', '.join(missing)}")
    allow_many_files()
    wanted = [series for series in SERIES if not chosen.series or series.name in chosen.series]
    results = Results(options.quick, command, chosen.results)
    say(results.source())
    say(f"about {minutes(sum(series.expected(options) for series in wanted))}; results go to {shown(results.folder)}")
    with Children() as children:
        errors = run_all(Rig(options, children), wanted, results)
    judged = results.verdict(NAMES)
    results.write_page(NAMES, judged)
    if not options.quick:
        say("\n## verdict\n\n" + judged.markdown())
    for error in errors:
        say(f"ERROR: {error}")
    return 1 if errors else 0
