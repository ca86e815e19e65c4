//! What goes to one client, whatever it says and whatever its link does: bounded, never sealed twice, and at nobody else's
//! expense.

use std::time::Duration;

use ringcast::drop::{DropReason, RepairRefusal};
use ringcast::metrics::shard::{KeyframeOutcome, Retransmission};
use ringcast::rtp::{ExtensionKind, MediaKind, RtpView};
use ringcast_bench::source::Media;

use crate::harness::forge::Forger;
use crate::harness::link::{LinkSpec, rtp_name};
use crate::harness::{PeerKey, Sim, Track, Way};

const SECOND: Duration = Duration::from_secs(1);

/// A publisher of sound and picture, a viewer of both, and a bystander who has the same.
fn call(sim: &mut Sim, packets_per_second: u32) -> (Vec<Track>, PeerKey, PeerKey) {
    let publisher = sim.join(0, Way::clean(10));
    let tracks = sim.publish(publisher, &[Media::audio(), Media::video(30, packets_per_second, 900)]);
    let [viewer, bystander] = [0, 0].map(|shard| {
        let peer = sim.join(shard, Way::clean(10));
        sim.subscribe(peer, &[&tracks[0], &tracks[1]]);
        peer
    });
    (tracks, viewer, bystander)
}

fn assert_untouched(sim: &mut Sim, bystander: PeerKey, tracks: &[Track]) {
    sim.pause_sources();
    sim.run_for(SECOND);
    for track in tracks {
        sim.account(bystander, track).assert_complete();
        let latency = sim.received(bystander, track).unwrap().latency.max();
        assert!(latency < Duration::from_millis(60), "{latency:?}");
    }
}

#[test]
fn a_flood_of_requests_for_packets_is_answered_within_a_quarter_of_what_is_sent() {
    let mut sim = Sim::new(1, 201);
    let (tracks, viewer, bystander) = call(&mut sim, 300);
    sim.run_for(2 * SECOND);
    let stream = sim.received(viewer, &tracks[1]).unwrap();
    let (ssrc, newest) = (stream.ssrc, stream.log.last().unwrap().seq);
    let mut forger = Forger::new(&sim, viewer);
    let media = |sim: &mut Sim| sim.counted(|all| all.rtp_out.of(MediaKind::Video)) / 2;
    let again = |sim: &mut Sim| sim.counted(|all| all.retransmissions.of(Retransmission::Hit));
    let (before, media_before) = (again(&mut sim), media(&mut sim));
    // One datagram of 1,342 bytes names 5,100 packets, seventeen of each kind many times over.
    let first = (newest & 0xffff) as u16 - 300;
    for _ in 0..500 {
        forger.nack(&mut sim, ssrc, first, 300);
        sim.run_for(Duration::from_millis(4));
    }
    let (answers, sent) = (again(&mut sim) - before, media(&mut sim) - media_before);
    assert!(answers > 0 && answers <= sent / 4 + 60, "{answers} of {sent}");
    let refused = |sim: &mut Sim, of| sim.counted(|all| all.retransmissions_refused.of(of));
    assert!(refused(&mut sim, RepairRefusal::Excess) > 2_000_000);
    assert!(refused(&mut sim, RepairRefusal::Budget) > 0);
    let figures = sim.statistics(viewer).remote.into_iter().find(|one| one.ssrc == ssrc).unwrap();
    assert!(figures.nacks > 2_000_000 && figures.retransmissions_refused > 2_000_000, "{figures:?}");
    assert_untouched(&mut sim, bystander, &tracks);
}

#[test]
fn a_packet_goes_once_more_in_a_round_trip_and_three_times_in_all() {
    let mut sim = Sim::new(1, 202);
    let (tracks, viewer, bystander) = call(&mut sim, 300);
    sim.run_for(3 * SECOND);
    let stream = sim.received(viewer, &tracks[1]).unwrap();
    let (ssrc, newest) = (stream.ssrc, (stream.log.last().unwrap().seq & 0xffff) as u16);
    let mut forger = Forger::new(&sim, viewer);
    let mut answers = Vec::new();
    for _ in 0..40 {
        let before = sim.counted(|all| all.retransmissions.of(Retransmission::Hit));
        // Twice in one datagram.
        let entry = [newest.to_be_bytes(), [0; 2]].concat();
        forger.feedback(&mut sim, (205, 1), ssrc, &entry.repeat(2));
        answers.push(sim.counted(|all| all.retransmissions.of(Retransmission::Hit)) - before);
        sim.run_for(Duration::from_millis(10));
    }
    assert_eq!(answers.iter().sum::<u64>(), 3, "{answers:?}");
    let places: Vec<usize> = answers.iter().zip(0..).filter(|(one, _)| **one > 0).map(|(_, at)| at).collect();
    assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= 2), "a round trip is 20 ms: {places:?}");
    assert!(sim.counted(|all| all.retransmissions_refused.of(RepairRefusal::Exhausted)) > 10);
    assert_untouched(&mut sim, bystander, &tracks);
}

#[test]
fn a_viewer_that_asks_for_keyframes_all_the_time_costs_the_others_one_a_second() {
    let mut sim = Sim::new(1, 203);
    let (tracks, viewer, bystander) = call(&mut sim, 150);
    sim.run_for(2 * SECOND);
    let keyframes =
        |sim: &Sim| sim.peer(tracks[1].owner).client.published()[1].source.totals().next().unwrap().keyframes;
    let (ssrc, before) = (sim.received(viewer, &tracks[1]).unwrap().ssrc, keyframes(&sim));
    let mut forger = Forger::new(&sim, viewer);
    for _ in 0..1000 {
        forger.feedback(&mut sim, (206, 1), ssrc, &[]);
        // One full intra request with a hundred entries of the same stream.
        let entry = [ssrc.to_be_bytes(), [1, 0, 0, 0]].concat();
        forger.feedback(&mut sim, (206, 4), 0, &entry.repeat(100));
        sim.run_for(Duration::from_millis(10));
    }
    let asked = keyframes(&sim) - before;
    assert!((10..=15).contains(&asked), "{asked} keyframes in ten seconds");
    assert!(sim.counted(|all| all.keyframe_requests.of(KeyframeOutcome::Refused)) > 100_000);
    assert_untouched(&mut sim, bystander, &tracks);
}

#[test]
fn a_thin_link_is_not_filled_with_answers() {
    let mut sim = Sim::new(1, 204);
    let (tracks, viewer, bystander) = call(&mut sim, 150);
    sim.run_for(2 * SECOND);
    // Nine of ten datagrams die.
    sim.peer_mut(viewer).down.become_another(LinkSpec::clean(10).with_loss(0.9), 5);
    sim.run_for(10 * SECOND);
    let again = sim.counted(|all| all.retransmissions.of(Retransmission::Hit));
    let sent = sim.counted(|all| all.rtp_out.of(MediaKind::Video)) / 2;
    assert!(again > 20 && again <= sent / 4 + 20, "{again} of {sent}");
    assert_untouched(&mut sim, bystander, &tracks);
}

#[test]
fn what_was_sent_under_other_header_extensions_is_not_sealed_again() {
    let mut sim = Sim::new(1, 205);
    let (tracks, viewer, bystander) = call(&mut sim, 150);
    sim.run_for(2 * SECOND);
    // Sound has no stream for retransmissions, so it is sent again bit for bit.
    let stream = sim.received(viewer, &tracks[0]).unwrap();
    let (ssrc, newest) = (stream.ssrc, (stream.log.last().unwrap().seq & 0xffff) as u16);
    let mut forger = Forger::new(&sim, viewer);
    let again = |sim: &mut Sim| sim.counted(|all| all.retransmissions.of(Retransmission::Hit));
    forger.nack(&mut sim, ssrc, newest - 16, 1);
    let answered = again(&mut sim);
    assert!(answered >= 10, "{answered}");
    // The watch on the wire sees to it that nothing is sealed twice.
    for without in [1, 2] {
        sim.configure_as(viewer, |plan| {
            plan.egress.iter_mut().for_each(|one| one.extensions.truncate(one.extensions.len() - without));
        })
        .unwrap();
        sim.run_for(Duration::from_millis(100));
        forger.nack(&mut sim, ssrc, newest - 16, 1);
        assert_eq!(again(&mut sim), answered);
    }
    sim.configure(viewer).unwrap();
    sim.run_for(Duration::from_millis(300));
    let newest = (sim.received(viewer, &tracks[0]).unwrap().log.last().unwrap().seq & 0xffff) as u16;
    forger.nack(&mut sim, ssrc, newest - 4, 1);
    assert!(again(&mut sim) > answered, "what is sent from then on is sent again");
    assert_untouched(&mut sim, bystander, &tracks);
}

/// What a client has been sent of a stream while `step` went on, each packet with its transport-wide number.
fn numbered(
    sim: &mut Sim,
    viewer: PeerKey,
    ssrc: u32,
    step: impl FnOnce(&mut Sim),
) -> Vec<(Vec<u8>, Option<u16>)> {
    let plan = sim.peer(viewer).negotiation.plan();
    let extensions = &plan.egress.iter().find(|one| one.ssrc == ssrc).unwrap().extensions;
    let id = extensions.iter().find(|(_, kind)| *kind == ExtensionKind::TransportCc).unwrap().0;
    sim.peer_mut(viewer).down.captured = Some(Vec::new());
    step(sim);
    let captured = sim.peer_mut(viewer).down.captured.take().unwrap();
    let is_of = |datagram: &Vec<u8>| rtp_name(datagram).is_some_and(|name| name.0 == ssrc);
    let number = |datagram: &[u8]| {
        let place = RtpView::parse(datagram).unwrap().extension_place(id)?;
        Some(u16::from_be_bytes(datagram[place].try_into().unwrap()))
    };
    captured.into_iter().filter(is_of).map(|one| (one.clone(), number(&one))).collect()
}

#[test]
fn sound_has_transport_wide_numbers_where_there_are_pictures_too_and_is_sent_again_with_them() {
    let mut sim = Sim::new(1, 207);
    let (tracks, viewer, bystander) = call(&mut sim, 50);
    sim.run_for(4 * SECOND);
    let [sound, video] = [0, 1].map(|at| sim.received(viewer, &tracks[at]).unwrap().ssrc);
    let pictures = numbered(&mut sim, viewer, video, |sim| sim.run_for(SECOND));
    let first = numbered(&mut sim, viewer, sound, |sim| sim.run_for(SECOND));
    let numbers: Vec<u16> = first.iter().filter_map(|(_, number)| *number).collect();
    assert!(numbers.len() == first.len() && numbers.is_sorted() && numbers.len() > 40, "{numbers:?}");
    // Numbers are those of the whole transport.
    let last_picture = pictures.last().unwrap().1.unwrap();
    assert!(numbers[0] > last_picture && numbers[0] < last_picture + 10);
    let span = numbers[numbers.len() - 1] - numbers[0];
    assert!(usize::from(span) > numbers.len() * 3 / 2, "pictures are among them: {numbers:?}");
    let newest = rtp_name(&first[first.len() - 1].0).unwrap().1;
    let again = numbered(&mut sim, viewer, sound, |sim| {
        Forger::new(sim, viewer).nack(sim, sound, newest - 16, 1);
    });
    assert!(again.len() >= 8 && again.iter().all(|packet| first.contains(packet)), "{}", again.len());
    assert_untouched(&mut sim, bystander, &tracks);
}

#[test]
fn sound_alone_has_no_numbers_until_there_are_pictures() {
    let mut sim = Sim::new(1, 208);
    let publisher = sim.join(0, Way::clean(10));
    let tracks = sim.publish(publisher, &[Media::audio(), Media::video(30, 50, 900)]);
    let [listener, bystander] = [0, 0].map(|shard| sim.join(shard, Way::clean(10)));
    for peer in [listener, bystander] {
        sim.subscribe(peer, &[&tracks[0]]);
    }
    sim.run_for(2 * SECOND);
    let sound = sim.received(listener, &tracks[0]).unwrap().ssrc;
    let alone = numbered(&mut sim, listener, sound, |sim| sim.run_for(SECOND));
    assert!(alone.len() > 40 && alone.iter().all(|(_, number)| number.is_none()));
    sim.subscribe(listener, &[&tracks[1]]);
    sim.run_for(SECOND);
    let beside = numbered(&mut sim, listener, sound, |sim| sim.run_for(SECOND));
    assert!(beside.len() > 40 && beside.iter().all(|(_, number)| number.is_some()));
    // What left without a number is not made again with one, which the watch on the wire would see.
    let newest = rtp_name(&alone[alone.len() - 1].0).unwrap().1;
    let again = numbered(&mut sim, listener, sound, |sim| {
        Forger::new(sim, listener).nack(sim, sound, newest - 16, 1);
    });
    assert_eq!(again, []);
    sim.pause_sources();
    sim.run_for(SECOND);
    sim.account(listener, &tracks[0]).assert_complete();
    sim.account(bystander, &tracks[0]).assert_complete();
}

#[test]
fn a_downlink_that_was_away_for_more_packets_than_a_sequence_number_tells_comes_back_with_a_keyframe() {
    let mut sim = Sim::new(1, 206);
    let (tracks, viewer, bystander) = call(&mut sim, 4_500);
    sim.run_for(2 * SECOND);
    sim.peer_mut(viewer).down.cut = true;
    let before = sim.counted(|all| all.rtp_out.of(MediaKind::Video));
    sim.run_for(9 * SECOND);
    let sent = sim.counted(|all| all.rtp_out.of(MediaKind::Video)) - before;
    assert!(sent > 9 * 4_500 + 20_000 && sent < 9 * 4_500 + (1 << 15), "to both: {sent}");
    assert!(sim.dropped(DropReason::ReceiverSilent) > 10_000);
    sim.peer_mut(viewer).down.cut = false;
    let healed = sim.now;
    let came = |sim: &Sim| {
        let log = &sim.received(viewer, &tracks[1]).unwrap().log;
        log.iter().filter(|one| one.at > healed).count()
    };
    assert!(sim.run_until_that(5 * SECOND, |sim| came(sim) > 4_500), "{}", came(&sim));
    let log = &sim.received(viewer, &tracks[1]).unwrap().log;
    let keyframe = log.iter().find(|one| one.at > healed && one.stamp.keyframe);
    assert!(keyframe.is_some_and(|one| one.at < healed + 4 * SECOND), "{keyframe:?}");
    assert!(log.windows(2).all(|pair| pair[1].seq.abs_diff(pair[0].seq) < 1 << 15));
    let sound = sim.received(viewer, &tracks[0]).unwrap().source(tracks[0].source, 0).unwrap().newest_at;
    assert!(sim.now.duration_since(sound) < Duration::from_millis(100));
    assert_untouched(&mut sim, bystander, &tracks);
}
