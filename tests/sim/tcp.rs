//! Clients over TCP: to a shard, one more socket.

use std::time::Duration;

use ringcast::ids::ShardId;
use ringcast::net::SocketIndex;
use ringcast_bench::source::Media;

use crate::harness::{Sim, Way};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_call_over_tcp_loses_nothing_and_ends_with_its_connection_for_one_client_only() {
    let mut sim = Sim::new(1, 71);
    sim.socket = SocketIndex::listener(0).unwrap();
    let publisher = sim.join(0, Way::clean(10));
    let tracks = sim.publish(publisher, &[Media::video(30, 150, 900)]);
    let [leaver, stayer] = [0, 1].map(|_| {
        let subscriber = sim.join(0, Way::clean(10));
        sim.subscribe(subscriber, &[&tracks[0]]);
        subscriber
    });
    sim.run_for(2 * SECOND);
    let (address, paths) = (sim.peer(leaver).client.address(), sim.sizes().paths);
    assert!(sim.holds_address(ShardId(0), address));
    sim.disconnect(ShardId(0), address);
    assert!(!sim.holds_address(ShardId(0), address));
    assert_eq!(sim.sizes().paths, paths - 1);
    // The next check proves an address again, as it does after a connection was made anew.
    let returned = sim.run_until_that(10 * SECOND, |sim| sim.holds_address(ShardId(0), address));
    assert!(returned);
    sim.run_for(SECOND);
    sim.pause_sources();
    sim.run_for(2 * SECOND);
    sim.account(stayer, &tracks[0]).assert_complete();
    assert_eq!(sim.counted(|counters| counters.session_failures), 0);
}

#[test]
fn the_same_addresses_over_udp_are_another_path() {
    let mut sim = Sim::new(1, 72);
    let client = sim.join(0, Way::clean(10));
    sim.publish(client, &[Media::audio()]);
    sim.run_for(SECOND);
    let address = sim.peer(client).client.address();
    assert!(sim.holds_address(ShardId(0), address));
    sim.socket = SocketIndex::listener(0).unwrap();
    assert!(!sim.holds_address(ShardId(0), address), "a check over UDP proves nothing for TCP");
}
