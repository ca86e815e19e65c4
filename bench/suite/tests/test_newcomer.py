"""What is made of pairs of joins: a newcomer's wait by that of the one before it, within the pair."""

import io
import unittest
from contextlib import redirect_stderr
from pathlib import Path

from report.outcome import Outcome
from runs.rig import Options
from runs.servers import Ports
from series import browser
from series.browser import BESIDE, THIS
from series.join import WAYS, variant
from series.newcomer import RTTS, rounds_of_pairs, show

OPTIONS = Options(5, 5, False, Ports(21000), Path("."), Path("other"))


class Newcomers(unittest.TestCase):
    def test_ratios_are_taken_within_pairs_and_only_those_of_this_build_are_judged(self):
        outcome = Outcome()
        figures = {THIS: [(900, 100), (120, 100), (130, 100)], BESIDE: [(200, 100)] * 3}
        with redirect_stderr(io.StringIO()):
            for name, pairs in figures.items():
                for number, (ms, alone) in enumerate(pairs, 1):
                    found = {"server": name, "way": "whep", "rtt": 0, "round": number, "ms": ms, "alone": alone}
                    browser.add(outcome, found, variant(name, "whep", 0), ["a command"], 3)
        show(outcome, OPTIONS)
        self.assertEqual((outcome.measures["newcomer"].low, outcome.measures["newcomer"].high), (1.2, 1.3))
        row = outcome.tables[0].rows[0]
        self.assertEqual(row[2:], ["100 (100–100)", "125 (120–130)", "1.25 (1.20–1.30)",
                                   "100 (100–100)", "200 (200–200)", "2.00 (2.00–2.00)", "2 of 2"])
        self.assertEqual(len(outcome.tables[0].rows), len(WAYS) * len(RTTS))
        self.assertIn("none is valid", outcome.tables[0].rows[-1])

    def test_a_full_run_has_ten_pairs_that_count(self):
        self.assertEqual(rounds_of_pairs(OPTIONS), 11)


if __name__ == "__main__":
    unittest.main()
