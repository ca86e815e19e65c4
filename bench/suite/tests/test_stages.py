"""From what perf prints to stages and folded stacks."""

import unittest
import xml.etree.ElementTree as xml

from report.flame import graph, tree
from report.stages import OTHER, WAITING, count_stages, fold, folded_text, plain, stage_of
from runs import perf

SCRIPT = """
shard-0 14984
\t          75628d aes_gcm_enc_update
\t          4831aa ringcast::srtp::cipher::Gcm::seal
\t          54fd2a ringcast::session::egress::EgressStream::seal
\t          465f59 ringcast::shard::forward::<impl ringcast::shard::Shard>::flush
\t          4161c1 ringcast::net::host::run
\tffffffffffffffff [unknown]

shard-0 14984
\tffffffff82047550 __udp_enqueue_schedule_skb
\tffffffff82046f66 udp_sendmsg
\tffffffff821ef691 do_syscall_64
\t          3fd023 ringcast::net::uring::UringDriver::submit
\t          4161c1 ringcast::net::host::run

tokio worker 1 14985
\tffffffff821faa94 __schedule
\tffffffff821ef691 do_syscall_64
\t          c58a51 mio::poll::Poll::poll
"""


class Samples(unittest.TestCase):
    def test_samples_are_read_outermost_first(self):
        found = perf.samples(SCRIPT)
        self.assertEqual([thread for thread, _ in found], ["shard-0", "shard-0", "tokio worker 1"])
        self.assertEqual(found[0][1][0], "ringcast::net::host::run")
        self.assertEqual(found[0][1][-1], "aes_gcm_enc_update")

    def test_counts_are_numbers_or_words(self):
        text = "# started\n\n412;;raw_syscalls:sys_enter;4001;100.00;;\n<not supported>;;instructions;0;100.00;;\n"
        self.assertEqual(perf.counts(text), {"raw_syscalls:sys_enter": 412.0, "instructions": "<not supported>"})


class Stages(unittest.TestCase):
    def test_the_innermost_function_that_a_stage_names_decides(self):
        counted = count_stages(perf.samples(SCRIPT))
        self.assertEqual(counted, {"seal": 1, "send": 1, WAITING: 1})

    def test_functions_belong_to_the_stage_of_their_module(self):
        for function, stage in {
            "ringcast::net::uring::UringDriver::reap": "net receive",
            "ringcast::net::uring::UringDriver::send": "send",
            "ringcast::net::mmsg::MmsgDriver::receive": "net receive",
            "ringcast::net::outbox::Outbox::commit": "outbox",
            "ringcast::session::egress::EgressStream::write_header": "header",
            "ringcast::session::transport::Transport::turn": "session ingress",
            "ringcast::session::Session::poll_timeout": "timers",
            "ringcast::srtp::rtp::SrtpSender::seal": "seal",
            "ringcast::srtp::rtcp::SrtcpReceiver::open": "session ingress",
            "str0m::session::Session::poll_event": "session ingress",
            "ringcast::shard::demux::Demux::find": "demux",
            "ringcast::shard::ingest::<impl ringcast::shard::Shard>::sync_ready": "router",
            "<ringcast::router::layer::Layer as core::clone::Clone>::clone": "router",
            "ringcast::control::serve::run": OTHER,
        }.items():
            self.assertEqual(stage_of(["main", function, "memcpy"]), stage, function)

    def test_names_are_shown_by_their_path(self):
        self.assertEqual(plain("a::b::<impl c::D>::f"), "a::b::f")
        self.assertEqual(plain("<a::B<T> as c::D>::f"), "a::B::f")
        self.assertEqual(plain("a::b::f"), "a::b::f")


class Folding(unittest.TestCase):
    def test_equal_stacks_are_one_line(self):
        folded = fold([("shard", ["a", "b"]), ("shard", ["a", "b"]), ("shard", ["a", "c;d"])])
        self.assertEqual(folded_text(folded), "shard;a;b 2\nshard;a;c,d 1\n")

    def test_a_frame_is_as_wide_as_what_it_calls(self):
        root = tree(fold([("shard", ["a", "b"]), ("shard", ["a", "c"]), ("shard", ["a"])]))
        above = root.calls["shard"].calls["a"]
        self.assertEqual((root.count, above.count, above.calls["b"].count), (3, 3, 1))

    def test_the_flame_graph_is_well_formed(self):
        drawn = graph("<Where>", "of & what", fold(perf.samples(SCRIPT)))
        self.assertTrue(xml.fromstring(drawn).tag.endswith("svg"))
        self.assertIn("33.3%", drawn)


if __name__ == "__main__":
    unittest.main()
