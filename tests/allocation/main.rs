//! What a shard asks of the allocator while media flows: nothing per forwarded packet, little per received one.
//!
//! Whole shards in virtual time, as in `tests/sim/`. Only the calls into the shards are counted, not the clients,
//! and only after everybody has connected and everything that grows has grown.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure of the harness is a failure of the test that runs it"
)]

mod counter;
mod estimator;
#[expect(dead_code, reason = "the harness of tests/sim, of which these tests use a part")]
#[path = "../sim/harness/mod.rs"]
mod harness;

use std::collections::BTreeMap;
use std::time::Duration;

use ringcast::rtp::{ExtensionKind, HeaderOut, PassedExtensions, RtpView, write_header};
use ringcast_bench::source::Media;

use self::counter::{Counter, Record};
use self::harness::link::LinkSpec;
use self::harness::meter::Call;
use self::harness::{Sim, Way};

/// Time in which everybody connects and every buffer finds its size.
const WARM_UP: Duration = Duration::from_secs(5);
/// Time that is counted.
const COUNTED: Duration = Duration::from_secs(5);

/// Audiences that are compared.
const FEW: usize = 10;
const MANY: usize = 60;

/// Allocations per received packet that the engine and the one copy of its payload may make, on average. At the
/// time of writing they are 2.03: the payload that all subscribers share, and the buffer into which the engine
/// decrypts; some more where a frame or a report begins.
const PER_RECEIVED_MAX: f64 = 3.0;

/// Allocations per client and second that reports, checks and timers of the engine may make. At the time of
/// writing 11.5 with ten subscribers, most of them the publisher's feedback, and 5.4 with sixty.
const PER_CLIENT_SECOND_MAX: f64 = 20.0;

/// Runs one publisher of audio and video, and subscribers on the last shard; tells every call of the counted time.
fn calls(shards: u8, subscribers: usize, down: LinkSpec) -> Vec<Record> {
    let mut sim = Sim::new(shards, 5);
    let publisher = sim.join(0, Way::clean(5));
    let tracks = sim.publish(publisher, &[Media::audio(), Media::video(30, 300, 900)]);
    for _ in 0..subscribers {
        let peer = sim.join(shards - 1, Way { up: LinkSpec::clean(5), down });
        sim.subscribe(peer, &tracks.iter().collect::<Vec<_>>());
    }
    sim.run_for(WARM_UP);
    let counter = Counter::default();
    sim.meter = Box::new(counter.clone());
    sim.run_for(COUNTED);
    counter.take()
}

/// Allocations of the calls that fit, summed up, and how many calls those are.
fn total(records: &[Record], fits: impl Fn(&Record) -> bool) -> (u64, u64) {
    let fitting = records.iter().filter(|record| fits(record));
    fitting.fold((0, 0), |(allocations, calls), record| (allocations + record.allocations, calls + 1))
}

fn sum(records: &[Record], of: impl Fn(&Record) -> u64) -> u64 {
    records.iter().map(of).sum()
}

/// How often a call with a received packet made how many allocations.
fn spread_of_received(records: &[Record]) -> BTreeMap<u64, u64> {
    let mut spread = BTreeMap::new();
    for record in records.iter().filter(|record| record.work.received > 0) {
        *spread.entry(record.allocations).or_default() += 1;
    }
    spread
}

/// Nothing was allocated where packets cross and leave, and all of them did.
fn assert_forwarding_is_free(records: &[Record], shards: u64, subscribers: usize) {
    let received = sum(records, |record| record.work.received);
    assert!(received > 1_000, "{received} packets received");
    assert_eq!(sum(records, |record| record.work.forwarded), received * subscribers as u64);
    assert_eq!(sum(records, |record| record.work.crossed), received * (shards - 1));
    for call in [Call::Flush, Call::Mail] {
        let (allocations, calls) = total(records, |record| record.call == call);
        let forwarded = sum(records, |record| record.work.forwarded);
        assert_eq!(
            allocations, 0,
            "{allocations} allocations in {calls} calls ({call:?}) that forwarded {forwarded} packets"
        );
    }
}

/// What one received packet costs is the same for a small and a large audience, and little.
fn assert_receiving_is_cheap(few: &[Record], many: &[Record]) {
    assert_eq!(spread_of_received(few), spread_of_received(many), "allocations: calls, for both audiences");
    let (allocations, calls) = total(many, |record| record.work.received > 0);
    let each = allocations as f64 / calls as f64;
    assert!(
        each <= PER_RECEIVED_MAX,
        "{each:.2} allocations per received packet: {:?}",
        spread_of_received(many)
    );
}

/// Reports, checks and timers have their price per client, not per packet.
fn assert_the_rest_is_bounded(records: &[Record], subscribers: usize) {
    let media = |record: &Record| record.work.received > 0 || record.work.forwarded > 0;
    let (allocations, calls) = total(records, |record| !media(record));
    let clients = (subscribers + 1) as f64;
    let each = allocations as f64 / clients / COUNTED.as_secs_f64();
    assert!(
        each <= PER_CLIENT_SECOND_MAX,
        "{each:.2} allocations per client and second without media, in {calls} calls"
    );
}

#[test]
fn forwarding_allocates_nothing_whatever_the_audience() {
    let [few, many] = [FEW, MANY].map(|subscribers| calls(1, subscribers, LinkSpec::clean(5)));
    assert_forwarding_is_free(&few, 1, FEW);
    assert_forwarding_is_free(&many, 1, MANY);
    assert_receiving_is_cheap(&few, &many);
    assert_the_rest_is_bounded(&few, FEW);
    assert_the_rest_is_bounded(&many, MANY);
}

#[test]
fn crossing_to_another_shard_allocates_nothing_whatever_the_audience() {
    let [few, many] = [FEW, MANY].map(|subscribers| calls(2, subscribers, LinkSpec::clean(5)));
    assert_forwarding_is_free(&few, 2, FEW);
    assert_forwarding_is_free(&many, 2, MANY);
    assert_receiving_is_cheap(&few, &many);
    assert_the_rest_is_bounded(&many, MANY);
}

#[test]
fn sending_again_allocates_nothing() {
    let records = calls(1, FEW, LinkSpec::clean(5).with_loss(0.05));
    let repeated = sum(&records, |record| record.work.repeated);
    assert!(repeated > 500, "{repeated} packets sent again");
    let (allocations, calls) = total(&records, |record| record.work.repeated > 0);
    assert_eq!(
        allocations, 0,
        "{allocations} allocations in {calls} calls that sent {repeated} packets again"
    );
}

#[test]
fn a_check_costs_the_same_however_many_addresses_its_session_has_used() {
    let mut sim = Sim::new(1, 6);
    sim.captured = Some(Vec::new());
    let publisher = sim.join(0, Way::clean(5));
    let track = sim.publish(publisher, &[Media::audio()]).remove(0);
    let viewer = sim.join(0, Way::clean(5));
    sim.subscribe(viewer, &[&track]);
    sim.run_for(WARM_UP);
    let client = sim.peer(viewer).client.address();
    let captured = sim.captured.take().unwrap().into_iter();
    let check = captured.rev().find(|(_, from, datagram)| *from == client && datagram.starts_with(&[0, 1]));
    let (shard, _, check) = check.unwrap();
    // Who copies a check can send it from any number of addresses.
    let mut bytes = Vec::new();
    for number in 0..2_000_u16 {
        let counter = Counter::default();
        let from = ([10, 200, 0, 1], number + 1).into();
        sim.onlookers.insert(from, Vec::new());
        sim.meter = Box::new(counter.clone());
        sim.inject(shard, from, &check);
        bytes.push(sum(&counter.take(), |record| record.bytes));
    }
    let [few, many] = [100..200, 1_900..2_000].map(|range| bytes[range].iter().sum::<u64>());
    assert!(many <= few * 11 / 10, "{few} bytes for the second hundred of addresses, {many} for the last");
}

#[test]
fn a_long_descriptor_travels_and_leaves_without_allocations() {
    let mut extensions = PassedExtensions::EMPTY;
    assert!(extensions.push(ExtensionKind::ColorSpace, &[9; 28]));
    // The structure of L3T3_KEY as Chromium sends it has as many bytes.
    assert!(extensions.push(ExtensionKind::DependencyDescriptor, &[7; 97]));
    let header = HeaderOut { marker: false, payload_type: 96, seq: 1, timestamp: 2, ssrc: 3 };
    let (mut space, mut len) = ([0; 1500], 0);
    let allocated = allocation_counter::measure(|| {
        let copy = extensions.clone();
        len = write_header(&mut space, &header, copy.iter().map(|(kind, data)| (kind as u8 + 1, data)));
    });
    assert_eq!(allocated.count_total, 0);
    let view = RtpView::parse(&space[..len]).unwrap();
    assert_eq!(view.extensions().map(|(_, data)| data.len()).collect::<Vec<_>>(), [28, 97]);
}
