"""The search for capacity, the verdict, and the plots."""

import unittest
import xml.etree.ElementTree as xml

from report import verdict
from report.chart import plot
from report.outcome import Bar, Panel
from report.spread import spread
from runs.run_result import Run
from runs.steady import sent_packets
from series.capacity import loss, search


class Search(unittest.TestCase):
    def tries(self, limit):
        seen = []

        def holds(rate):
            seen.append(rate)
            return rate <= limit

        return seen, holds

    def test_it_doubles_and_then_halves_the_gap(self):
        seen, holds = self.tries(3000)
        self.assertEqual(search(holds, 1000, 64000, 3), (3000, 3250))
        self.assertEqual(seen, [1000, 2000, 4000, 3000, 3500, 3250])

    def test_it_ends_at_the_top(self):
        _, holds = self.tries(10**9)
        self.assertEqual(search(holds, 1000, 8000, 3), (8000, None))

    def test_it_looks_below_the_first_rate(self):
        _, holds = self.tries(600)
        self.assertEqual(search(holds, 1000, 8000, 2), (500, 750))

    def test_it_says_when_nothing_holds(self):
        _, holds = self.tries(0)
        self.assertEqual(search(holds, 1000, 8000, 2)[0], 0)

    def test_what_was_lost_has_a_culprit(self):
        def told(**fields):
            return loss(Run("a", 0, False, [], {"expected": 10, "delivered": 10} | fields))

        self.assertIsNone(told())
        self.assertEqual(told(delivered=8), "2 packets were lost")
        self.assertIn("sockets of the load generator", told(delivered=8, socket_drops=2))
        self.assertIn("busy", told(own={"busy": 0.99}))
        self.assertIn("backlog", told(latency_ms={"p99": 400}))


class Verdicts(unittest.TestCase):
    def judged(self, key, value):
        (row,) = [row for row in verdict.ROWS if row.key == key]
        return row.judge(None if value is None else spread([value]))

    def test_the_bounds_are_met_or_not(self):
        self.assertEqual(self.judged("limit 1 → 200", 1.6), "met")
        self.assertEqual(self.judged("limit 1 → 200", 1.25), "met, aim too")
        self.assertEqual(self.judged("limit 1 → 200", 1.61), "not met")
        self.assertEqual(self.judged("limit 1 → 200", None), "not measured")

    def test_more_is_better_where_it_is(self):
        self.assertEqual(self.judged("connects", 3600.0), "met, aim too")
        self.assertEqual(self.judged("connects", 1999.0), "not met")
        self.assertEqual(self.judged("delivered", 99.9999), "not met")

    def test_an_aim_below_a_bound_is_not_met_on_it(self):
        self.assertEqual(self.judged("drivers 1 → 50", 1.0), "met")
        self.assertEqual(self.judged("drivers 1 → 50", 0.99), "met, aim too")

    def test_every_row_has_a_line(self):
        table = verdict.table(lambda key: None)
        self.assertEqual([len(row) for row in table.rows], [5] * len(verdict.ROWS))


class Plots(unittest.TestCase):
    def test_a_plot_is_well_formed_whatever_it_shows(self):
        bars = [Bar("<a>", spread([1.0, 2.0])), Bar("void", None), Bar("below", spread([-1.0]))]
        drawn = plot("A & B", "here", [Panel("one", bars, [(1.5, "must")]), Panel("none", [])])
        self.assertTrue(xml.fromstring(drawn).tag.endswith("svg"))
        self.assertIn("no valid run", drawn)


class Metrics(unittest.TestCase):
    def test_only_what_was_sent_is_counted(self):
        text = (
            'ringcast_rtp_packets_total{direction="egress",kind="audio"} 5\n'
            'ringcast_rtp_packets_total{direction="egress",kind="video"} 1e3\n'
            'ringcast_rtp_packets_total{direction="ingress",kind="video"} 7\n'
        )
        self.assertEqual(sent_packets(text), 1005)


if __name__ == "__main__":
    unittest.main()
