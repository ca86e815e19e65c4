//! Real sockets on the loopback device: both drivers keep the same promises, over IPv4 and IPv6.
//!
//! Each property runs for each driver and IP version, and once more for a ring that a thread waits in alone. Nothing
//! sleeps: a property that does not hold ends at [`rig::PATIENCE`].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may fail loudly, and real sockets have a real clock"
)]

mod differential;
mod lifecycle;
mod receive;
mod rig;
mod send;
mod wait;

/// Makes of each property a test for each driver and IP version.
macro_rules! properties {
    ($($module:ident::$name:ident),* $(,)?) => {
        properties!(@kind uring_v4, Uring, "127.0.0.1", false, $($module::$name),*);
        properties!(@kind uring_v6, Uring, "::1", false, $($module::$name),*);
        properties!(@kind uring_alone, Uring, "127.0.0.1", true, $($module::$name),*);
        properties!(@kind mmsg_v4, Mmsg, "127.0.0.1", false, $($module::$name),*);
        properties!(@kind mmsg_v6, Mmsg, "::1", false, $($module::$name),*);
    };
    (@kind $kind:ident, $io:ident, $ip:literal, $alone:literal, $($module:ident::$name:ident),*) => {
        mod $kind {
            $(
                #[test]
                fn $name() {
                    crate::rig::run(ringcast::net::IoKind::$io, $ip, $alone, crate::$module::$name);
                }
            )*
        }
    };
}

properties! {
    receive::datagrams_of_many_sizes_arrive_whole_and_once,
    receive::every_socket_has_its_index_and_every_source_its_address,
    receive::joined_datagrams_are_handed_out_singly_and_the_budget_holds,
    receive::a_burst_beyond_all_buffers_is_received_whole_and_more_after_it,
    receive::a_busy_socket_does_not_starve_another,
    receive::each_datagram_has_the_time_at_which_it_came,
    receive::congestion_bits_are_told,
    receive::congestion_bits_leave_as_they_were_written,
    send::a_burst_leaves_as_segments_and_arrives_as_datagrams,
    send::without_the_offload_every_datagram_is_a_call_of_its_own,
    send::sizes_that_break_a_run_arrive_in_order,
    send::more_destinations_than_one_submission_holds_are_all_served,
    send::datagrams_leave_by_the_socket_that_was_named,
    send::an_answer_leaves_from_the_address_that_was_asked,
    send::refused_datagrams_are_counted_and_the_others_leave,
    send::a_closed_port_does_not_stop_receiving,
    wait::a_wake_from_another_thread_ends_a_wait,
    wait::a_wake_before_the_wait_ends_it,
    wait::no_item_of_a_hasty_producer_is_overslept,
    wait::a_deadline_ends_a_wait,
    wait::a_past_deadline_does_not_make_the_driver_deaf,
    wait::a_wait_that_was_dropped_loses_nothing,
    wait::a_datagram_ends_a_wait_without_deadline,
    wait::waits_of_both_kinds_may_follow_each_other,
    wait::other_tasks_run_beside_a_busy_driver,
    lifecycle::a_dropped_driver_frees_its_port_in_the_middle_of_traffic,
    lifecycle::two_drivers_share_a_thread,
    lifecycle::an_idle_driver_is_served_after_a_long_time_of_only_waits,
}
