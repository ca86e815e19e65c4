"""What is made of a crowd that connects: viewers' latency with it by that without, within a round."""

import unittest
from pathlib import Path

from report.outcome import Outcome
from runs.rig import Options
from runs.run_result import Run
from runs.servers import Ports
from series.browser import BESIDE, THIS
from series.storm import calm, show, stormy

OPTIONS = Options(3, 5, False, Ports(21000), Path("."), Path("other"))


def outcome_of(figures):
    outcome = Outcome()
    for name, rounds in figures.items():
        for number, (alone, crowded) in enumerate(rounds, 1):
            for kind, p99 in ((calm(name), alone), (stormy(name), crowded)):
                result = {"latency_ms": {"p99": p99}} if p99 else {}
                run = Run(kind, number, False, [], result, [] if p99 else ["a backlog"])
                outcome.add(run, kind, number, number == 1)
    show(outcome, OPTIONS, 200)
    return outcome


class Storms(unittest.TestCase):
    def test_ratios_are_taken_within_rounds_for_each_build(self):
        outcome = outcome_of({THIS: [(1, 50), (2, 3), (4, 4.4)], BESIDE: [(1, 1), (2, 4), (3, 6)]})
        self.assertAlmostEqual(outcome.measures["storm"].low, 1.1)
        self.assertAlmostEqual(outcome.measures["storm"].high, 1.5)
        self.assertEqual(outcome.measures[f"storm {BESIDE}"].median, 2.0)
        self.assertEqual(outcome.tables[0].rows[1], [BESIDE, "2.50 (2.00–3.00)", "5.00 (4.00–6.00)", "2.00 (2.00–2.00)"])

    def test_a_void_run_takes_its_round_along(self):
        outcome = outcome_of({THIS: [(1, 1), (2, None), (4, 6)], BESIDE: [(1, 1), (2, 4), (3, 6)]})
        self.assertEqual((outcome.measures["storm"].median, outcome.measures["storm"].count), (1.5, 1))


if __name__ == "__main__":
    unittest.main()
