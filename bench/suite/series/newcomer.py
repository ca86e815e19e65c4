"""How long a viewer waits that comes right after another one, by how long that one waited, who came alone.

The publisher has just been asked for a keyframe then, and is not asked again for a while. Each pair is one run; it is
measured by `bench/join/join.js`.
"""

from __future__ import annotations

from typing import Optional

from report.outcome import Bar, Outcome, Panel, Series, Table
from report.spread import ratio, spread, valid_by_round
from runs.comparison import rounds_of
from runs.rig import Options, Rig, progress
from runs.run_result import Run
from series import browser
from series.browser import START_SECONDS, names
from series.join import JOIN_PATIENCE_SECONDS, SCRIPT, WAYS, runs_of, variant, waited

# The second of a pair begins so long after the first.
APART_MS = 150
RTTS = (0, 50)
PAIR_SECONDS = 3
MARKS = ((1.2, "must"), (1.0, "aim"))


def rounds_of_pairs(options: Options) -> int:
    return rounds_of(options) if options.quick else 2 * rounds_of(options) + 1


def expected(options: Options) -> float:
    pairs = rounds_of_pairs(options) * len(WAYS) * len(RTTS) * len(names(options))
    return START_SECONDS + pairs * PAIR_SECONDS


def carry_out(rig: Rig) -> Outcome:
    """A viewer that comes right after another: the publisher was asked for a keyframe and will not be again for a while."""
    options, outcome = rig.options, Outcome()
    rounds = rounds_of_pairs(options)
    flags = ["--rounds", str(rounds), "--rtts", ",".join(map(str, RTTS)), "--ways", ",".join(WAYS)]
    patience = rounds * len(WAYS) * len(RTTS) * len(names(options)) * 2 * JOIN_PATIENCE_SECONDS
    found, commands = browser.measured(rig, SCRIPT, [*flags, "--after", str(APART_MS)], patience)
    for one in found:
        label = variant(one["server"], one["way"], one["rtt"])
        if browser.add(outcome, one, label, commands, rounds):
            progress(f"  {label}, round {one['round']}: {one['ms']:,.0f} ms, alone {one['alone']:,.0f} ms")
    show(outcome, options)
    return outcome


def later(run: Run) -> Optional[float]:
    """What a newcomer waited, by what the one before it did."""
    return ratio(run.figure("ms"), run.figure("alone"))


def show(outcome: Outcome, options: Options) -> None:
    columns = ["who offers", "round trip, ms"]
    for name in names(options):
        columns += [f"{name}: alone, ms", "newcomer, ms", "ratio: median (min–max)"]
    table = Table([*columns, "pairs used"])
    panel = Panel(f"First frame of a newcomer {APART_MS} ms after another, by that of the other", [], list(MARKS))
    for way, told in WAYS.items():
        for rtt in RTTS:
            row = [told, str(rtt)]
            for tone, name in enumerate(names(options)):
                good = list(valid_by_round(runs_of(outcome, name, way, rtt)).values())
                found = spread(map(later, good))
                figures = (spread(run.figure("alone") for run in good), spread(map(waited, good)))
                row += [one.text(0) if one else "none is valid" for one in figures]
                row.append(found.text() if found else "none is valid")
                panel.bars.append(Bar(f"{way}, {rtt} ms, {name}", found, tone))
                if name == names(options)[0]:
                    outcome.keep(f"newcomer {way} {rtt}", found)
            counted = [run for run in runs_of(outcome, names(options)[0], way, rtt) if not run.discarded]
            table.rows.append([*row, f"{sum(1 for run in counted if not run.void)} of {len(counted)}"])
    ours = [(way, rtt) for way in WAYS for rtt in RTTS]
    pairs = (run for one in ours for run in valid_by_round(runs_of(outcome, names(options)[0], *one)).values())
    outcome.keep("newcomer", spread(map(later, pairs)))
    outcome.tables.append(table)
    outcome.panels.append(panel)


SERIES = [Series("newcomer", "How long a viewer waits that comes right after another", expected, carry_out)]
