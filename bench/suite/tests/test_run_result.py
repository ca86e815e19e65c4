"""Which runs count."""

import unittest

from runs.run_result import Run, missing_packets, ns_per_packet, void_reasons


def result(**fields):
    whole = {"kind": "media", "expected": 1000, "delivered": 1000, "damaged": 0, "void": [], "own": {"busy": 0.4}}
    return whole | fields


class Voids(unittest.TestCase):
    def test_a_run_in_which_all_arrived_counts(self):
        self.assertEqual(void_reasons(result()), [])

    def test_sent_must_be_received_and_dropped(self):
        self.assertEqual(void_reasons(result(delivered=990, dropped_by_reason={"lane_full": 7, "no_keys": 3})), [])
        (reason,) = void_reasons(result(delivered=990, dropped_by_reason={"lane_full": 7}))
        self.assertIn("3 packets are not accounted for", reason)

    def test_full_socket_buffers_explain_what_is_missing(self):
        self.assertEqual(void_reasons(result(delivered=990, socket_drops=10)), [])
        self.assertEqual(missing_packets(result(delivered=990, socket_drops=4)), 6)
        # Buffers that lost packets of others explain no packet too many.
        self.assertEqual(missing_packets(result(delivered=1000, socket_drops=4)), 0)

    def test_what_is_lost_of_a_publisher_is_missing_at_all_subscribers(self):
        lost = {"sent": 100, "delivered": 970, "unaccounted": 30}
        self.assertEqual(missing_packets(result(**lost)), 30)
        self.assertEqual(missing_packets(result(**lost, server_socket_drops=2)), 10)
        self.assertEqual(missing_packets(result(**lost, dropped_by_reason={"lane_full": 3})), 0)

    def test_more_than_was_sent_is_void(self):
        self.assertEqual(missing_packets(result(delivered=1002, socket_drops=9)), -2)
        self.assertEqual(len(void_reasons(result(delivered=1002))), 1)

    def test_what_the_load_generator_says_is_kept_once(self):
        self.assertEqual(void_reasons(result(void=["a backlog", "a backlog"])), ["a backlog"])

    def test_a_busy_load_generator_measures_itself(self):
        self.assertEqual(void_reasons(result(own={"busy": 0.95})), ["the load generator was 95% busy"])

    def test_damage_is_void_whatever_is_looked_for(self):
        self.assertEqual(void_reasons(result(damaged=1), must_arrive=False), ["packets were damaged"])

    def test_loss_is_no_reason_where_it_is_looked_for(self):
        self.assertEqual(void_reasons(result(delivered=500, void=["only 50 %"]), must_arrive=False), [])
        self.assertEqual(void_reasons(result(expected=0, delivered=0), must_arrive=False), ["nothing was sent"])

    def test_connects_are_not_asked_for_packets(self):
        self.assertEqual(void_reasons({"kind": "connects", "void": []}), [])


class Costs(unittest.TestCase):
    def test_the_exact_figure_goes_before_the_coarse_one(self):
        exact = {"server": {"ns_per_packet": 900, "us_per_delivered_packet": 1.0}}
        self.assertEqual(ns_per_packet(Run("a", 1, False, [], exact)), 900)
        self.assertEqual(ns_per_packet(Run("a", 1, False, [], {"server": {"us_per_delivered_packet": 1.5}})), 1500)
        self.assertIsNone(ns_per_packet(Run("a", 1, False, [], {"server": None})))


if __name__ == "__main__":
    unittest.main()
