"""What is made of publishers that connect: how many stay low, beside direct ones, and the bounds of both."""

import io
import unittest
from contextlib import redirect_stderr
from pathlib import Path

from report.outcome import Outcome
from runs.rig import Options
from runs.servers import Ports
from series.browser import BESIDE, DIRECT, THIS
from series.uplink import STUCK_KBPS, add, connections, show

OPTIONS = Options(5, 5, False, Ports(21000), Path("."), Path("other"))


def outcome_of(sides, options=OPTIONS):
    outcome = Outcome()
    with redirect_stderr(io.StringIO()):
        for name, figures in sides.items():
            for number, kbps in enumerate(figures, 1):
                found = {"server": name, "round": number}
                found |= {"kbps": kbps} if kbps is not None else {"error": "not connected after 20000 ms"}
                add(outcome, found, ["a command"], len(figures))
    show(outcome, options)
    return outcome


class Uplinks(unittest.TestCase):
    def test_those_that_stay_low_are_counted_without_the_first_round_and_held_against_direct_ones(self):
        outcome = outcome_of({
            THIS: [100, STUCK_KBPS - 1, STUCK_KBPS, 1300, 1400],
            BESIDE: [1300, 300, 310, 320, 1400],
            DIRECT: [300, 1300, 1300, 1300, 1400],
        })
        stuck = [row[1] for row in outcome.tables[0].rows]
        self.assertEqual(stuck, ["1 of 4", "3 of 4", "0 of 4"])
        self.assertEqual(outcome.measures["uplink stuck"].median, 25.0)
        self.assertEqual(outcome.measures[f"uplink {DIRECT}"].median, 1300)
        self.assertEqual(outcome.errors, [])

    def test_one_that_does_not_connect_is_an_error_and_counts_for_nothing(self):
        outcome = outcome_of({THIS: [1300, None, 1300], BESIDE: [1300] * 3, DIRECT: [1300] * 3})
        self.assertIn("not connected", outcome.errors[0])
        self.assertEqual(outcome.tables[0].rows[0][1], "0 of 1")

    def test_a_full_run_makes_forty_connections_that_count(self):
        self.assertEqual(connections(OPTIONS), 41)


if __name__ == "__main__":
    unittest.main()
