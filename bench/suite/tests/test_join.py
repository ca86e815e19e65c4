"""What is made of joins: medians and ratios of the rounds that count, and failures by name."""

import io
import json
import unittest
from contextlib import redirect_stderr
from pathlib import Path

from report.outcome import Outcome
from runs.rig import Options
from runs.servers import Ports
from series.browser import BESIDE, THIS, results
from series.join import WAYS, add, joins, show

OPTIONS = Options(3, 1, True, Ports(21000), Path("."), Path("other"))


def join(server, round_, ms, way="whep", rtt=0, **more):
    found = {"server": server, "way": way, "rtt": rtt, "round": round_, "ms": ms, "dtls": "1.3", "role": "client"}
    return found | {"profile": "AEAD_AES_256_GCM"} | more


def outcome_of(found):
    outcome = Outcome()
    with redirect_stderr(io.StringIO()):
        for one in results("a line of the browser\n" + "\n".join(map(json.dumps, found))):
            add(outcome, one, ["a command"], 3)
    show(outcome, OPTIONS)
    return outcome


class Joins(unittest.TestCase):
    def test_ratios_are_taken_within_rounds_and_the_first_is_discarded(self):
        rounds = [(1, 900, 1), (2, 100, 400), (3, 150, 300)]
        outcome = outcome_of(
            [join(name, number, ms) for number, *both in rounds for name, ms in zip((THIS, BESIDE), both)]
        )
        self.assertEqual(outcome.measures["join whep 0 ms"].median, 125)
        found = outcome.measures["join ratio whep 0"]
        self.assertEqual((found.median, found.low, found.high), (0.375, 0.25, 0.5))
        self.assertEqual(outcome.tables[0].rows[0][-2:], ["2 of 2", "1.3, AEAD_AES_256_GCM, client"])
        self.assertEqual(outcome.errors, [])

    def test_a_join_without_a_frame_is_an_error_and_counts_for_nothing(self):
        outcome = outcome_of([join(THIS, 2, 100), join(THIS, 3, None, error="no frame after 20000 ms, failed")])
        self.assertEqual(outcome.measures["join whep 0 ms"].count, 1)
        self.assertIn("no frame", outcome.errors[0])
        self.assertIn("1 of 2", outcome.tables[0].rows[0])

    def test_another_profile_in_a_single_join_is_seen(self):
        outcome = outcome_of([join(THIS, 2, 100), join(THIS, 3, 100, profile="AES_CM_128_HMAC_SHA1_80")])
        self.assertIn("AES_CM_128_HMAC_SHA1_80", outcome.tables[0].rows[0][-1])

    def test_both_ways_and_both_servers_are_joined_in_each_round(self):
        self.assertEqual(joins(OPTIONS), 3 * len(WAYS) * 2 * 2)


if __name__ == "__main__":
    unittest.main()
