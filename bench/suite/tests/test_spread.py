"""Median and spread, and ratios that are taken within rounds."""

import unittest

from report.spread import Spread, paired, ratio, spread, valid_by_round
from runs.run_result import Run


def run(number, cost, discarded=False, void=()):
    return Run("one", number, discarded, [], {"cost": cost}, list(void))


def by_cost(upper, lower):
    return ratio(upper.figure("cost"), lower.figure("cost"))


class Spreads(unittest.TestCase):
    def test_the_median_is_of_what_is_there(self):
        self.assertEqual(spread([3.0, None, 1.0, 2.0]), Spread(2.0, 1.0, 3.0, 3))
        self.assertEqual(spread([4.0, 1.0]), Spread(2.5, 1.0, 4.0, 2))
        self.assertIsNone(spread([None]))
        self.assertIsNone(spread([]))

    def test_a_single_value_is_shown_without_a_range(self):
        self.assertEqual(spread([1.5]).text(), "1.50")
        self.assertEqual(spread([1.0, 3.0, 2.0]).text(1), "2.0 (1.0–3.0)")

    def test_json_brings_it_back(self):
        found = spread([1.0, 2.0, 4.0])
        self.assertEqual(Spread.from_json(found.as_json()), found)


class Pairs(unittest.TestCase):
    def test_ratios_are_taken_within_rounds(self):
        # Both sides twice as dear in one round: the ratio does not move.
        upper = [run(1, 10.0, discarded=True), run(2, 2.0), run(3, 4.0), run(4, 2.2)]
        lower = [run(1, 1.0, discarded=True), run(2, 1.0), run(3, 2.0), run(4, 1.0)]
        self.assertEqual(paired(upper, lower, by_cost), Spread(2.0, 2.0, 2.2, 3))

    def test_the_first_round_never_counts(self):
        only = [run(1, 5.0, discarded=True)]
        self.assertIsNone(paired(only, only, by_cost))

    def test_a_void_run_takes_its_pair_with_it(self):
        upper = [run(2, 2.0), run(3, 9.0, void=["lost"]), run(4, 3.0)]
        lower = [run(2, 1.0), run(3, 1.0), run(4, 1.0, void=["busy"])]
        self.assertEqual(paired(upper, lower, by_cost), Spread(2.0, 2.0, 2.0, 1))
        self.assertEqual(sorted(valid_by_round(upper)), [2, 4])

    def test_a_ratio_to_nothing_is_none(self):
        self.assertIsNone(ratio(1.0, 0.0))
        self.assertIsNone(ratio(None, 1.0))
        self.assertEqual(ratio(3.0, 2.0), 1.5)


if __name__ == "__main__":
    unittest.main()
