//! How sessions and publications end, to the millisecond.

use std::time::Duration;

use ringcast::ids::SessionId;
use ringcast::shard::TableSizes;
use ringcast::shard::command::{EndReason, Event, ShardLimits};
use ringcast_bench::source::Media;

use crate::harness::{LIMITS, PeerKey, Sim, Way};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// The limits of the API, and others that only configuration can have set.
fn limits() -> [ShardLimits; 2] {
    let other = ShardLimits {
        never_connected: Duration::from_millis(7_300),
        disconnected: Duration::from_millis(4_100),
        publication_idle: Duration::from_millis(2_900),
        ..LIMITS
    };
    [LIMITS, other]
}

fn ended(sim: &Sim, session: SessionId, reason: EndReason) -> bool {
    !sim.told(|event| matches!(event, Event::Ended(id, why) if *id == session && *why == reason)).is_empty()
}

#[test]
fn a_publication_counts_once_and_its_replicas_apart() {
    let mut sim = Sim::new(3, 90);
    let publisher = sim.join(0, Way::clean(5));
    let track = sim.publish(publisher, &[Media::audio()]).remove(0);
    let viewers: Vec<PeerKey> = [0, 1, 1, 2].map(|shard| sim.join(shard, Way::clean(5))).into();
    let mids: Vec<String> =
        viewers.iter().map(|viewer| sim.subscribe(*viewer, &[&track]).remove(0)).collect();
    sim.run_for(Duration::from_secs(1));
    let counted = |sim: &mut Sim| {
        [sim.counted(|counters| counters.publications), sim.counted(|counters| counters.replicas)]
    };
    assert_eq!(counted(&mut sim), [1, 2]);
    assert_eq!(sim.sizes().publications, 3);
    sim.unsubscribe(viewers[3], &mids[3]);
    sim.run_for(Duration::from_secs(1));
    assert_eq!(counted(&mut sim), [1, 1]);
    viewers.into_iter().chain([publisher]).for_each(|peer| sim.leave(peer));
    sim.run_for(Duration::from_secs(1));
    assert_eq!(counted(&mut sim), [0, 0]);
}

#[test]
fn a_session_that_never_connects_ends_when_its_time_is_over_and_not_before() {
    for limits in limits() {
        let mut sim = Sim::with_limits(1, 81, &limits);
        sim.run_for(SECOND);
        // One without any description, and one whose client cannot reach us.
        let bare = sim.open(0);
        let cut = sim.join(0, Way::clean(10));
        sim.peer_mut(cut).up.cut = true;
        sim.publish(cut, &[Media::audio()]);
        let deadline = sim.now + limits.never_connected;
        sim.run_until(deadline - MS);
        assert_eq!(sim.sizes().sessions, 2);
        sim.run_until(deadline + MS);
        assert_eq!(sim.sizes(), TableSizes::default());
        assert!(ended(&sim, bare, EndReason::NeverConnected));
        assert!(ended(&sim, sim.peer(cut).session, EndReason::NeverConnected));
    }
}

#[test]
fn a_session_ends_when_nothing_authentic_came_for_its_time_and_not_before() {
    for limits in limits() {
        let mut sim = Sim::with_limits(1, 82, &limits);
        let publisher = sim.join(0, Way::clean(10));
        let track = sim.publish(publisher, &[Media::audio()]).remove(0);
        let subscriber = sim.join(0, Way::clean(10));
        sim.subscribe(subscriber, &[&track]);
        sim.run_for(5 * SECOND);
        // Both fall silent at once: one sent media, the other only reports and checks.
        for peer in [publisher, subscriber] {
            sim.peer_mut(peer).up.cut = true;
        }
        sim.run_for(SECOND);
        for peer in [publisher, subscriber] {
            let deadline = sim.peer(peer).up.arrived_at.unwrap() + limits.disconnected;
            sim.run_until(deadline - MS);
            assert!(!ended(&sim, sim.peer(peer).session, EndReason::TimedOut), "{peer:?}");
        }
        let last = sim.peer(publisher).up.arrived_at.max(sim.peer(subscriber).up.arrived_at).unwrap();
        sim.run_until(last + limits.disconnected + MS);
        for peer in [publisher, subscriber] {
            assert!(ended(&sim, sim.peer(peer).session, EndReason::TimedOut), "{peer:?}");
        }
        assert_eq!(sim.sizes(), TableSizes::default());
    }
}

#[test]
fn a_session_that_only_receives_lives_as_long_as_its_client_answers() {
    let mut sim = Sim::new(1, 83);
    let publisher = sim.join(0, Way::clean(10));
    let track = sim.publish(publisher, &[Media::audio()]).remove(0);
    let subscriber = sim.join(0, Way::clean(10));
    sim.subscribe(subscriber, &[&track]);
    sim.run_for(2 * SECOND);
    sim.pause_sources();
    sim.run_for(200 * SECOND);
    assert_eq!(sim.sizes().sessions, 2);
}

#[test]
fn a_publication_without_rtp_is_idle_after_its_time_and_live_again_with_the_next_packet() {
    for limits in limits() {
        let mut sim = Sim::with_limits(3, 84, &limits);
        let publisher = sim.join(0, Way::clean(10));
        let track = sim.publish(publisher, &[Media::video(30, 60, 500)]).remove(0);
        let subscriber = sim.join(2, Way::clean(10));
        sim.subscribe(subscriber, &[&track]);
        sim.run_for(3 * SECOND);
        let idle = |sim: &Sim| {
            sim.told(|event| matches!(event, Event::PublicationIdle(id) if *id == track.publication))
        };
        let live = |sim: &Sim| {
            sim.told(|event| matches!(event, Event::PublicationLive(id) if *id == track.publication))
        };
        assert_eq!((live(&sim).len(), idle(&sim).len()), (1, 0));
        sim.pause_sources();
        sim.run_for(100 * MS);
        let deadline = sim.peer(publisher).up.rtp_arrived_at.unwrap() + limits.publication_idle;
        sim.run_until(deadline - MS);
        assert_eq!(idle(&sim).len(), 0);
        sim.run_until(deadline + MS);
        assert_eq!(idle(&sim), [deadline]);
        // It says so once, and the session lives.
        sim.run_for(5 * limits.publication_idle);
        assert_eq!(idle(&sim).len(), 1);
        let now = sim.now;
        sim.peer_mut(publisher).client.published_mut().iter_mut().for_each(|one| one.source.resume(now));
        let before = sim.received(subscriber, &track).unwrap().packets;
        sim.run_for(SECOND);
        assert_eq!(live(&sim).len(), 2);
        assert!(sim.received(subscriber, &track).unwrap().packets > before + 50);
    }
}

#[test]
fn a_published_section_that_never_sends_is_idle_after_its_time() {
    let mut sim = Sim::new(1, 85);
    let publisher = sim.join(0, Way::clean(10));
    let tracks = sim.publish(publisher, &[Media::audio()]);
    let began = sim.now;
    sim.pause_sources();
    sim.run_until(began + LIMITS.publication_idle - MS);
    let idle = |sim: &Sim| {
        sim.told(|event| matches!(event, Event::PublicationIdle(id) if *id == tracks[0].publication))
    };
    assert_eq!(idle(&sim).len(), 0);
    sim.run_until(began + LIMITS.publication_idle + MS);
    assert_eq!(idle(&sim), [began + LIMITS.publication_idle]);
}

#[test]
fn a_client_that_ends_dtls_is_given_its_time_to_come_back() {
    let mut sim = Sim::new(1, 86);
    let publisher = sim.join(0, Way::clean(10));
    let track = sim.publish(publisher, &[Media::audio()]).remove(0);
    let subscriber = sim.join(0, Way::clean(10));
    sim.subscribe(subscriber, &[&track]);
    sim.run_for(3 * SECOND);
    let now = sim.now;
    sim.peer_mut(subscriber).client.close(now);
    sim.run_for(SECOND);
    let session = sim.peer(subscriber).session;
    assert_eq!(sim.sizes().sessions, 2);
    let sent = sim.peer(subscriber).down.rtp;
    sim.run_for(SECOND);
    assert_eq!(sim.peer(subscriber).down.rtp, sent, "nothing is sent to one who has hung up");
    sim.run_for(LIMITS.disconnected);
    assert!(ended(&sim, session, EndReason::ClosedByClient));
    assert_eq!(sim.sizes().sessions, 1);
}

#[test]
fn a_publication_that_comes_back_under_its_name_is_resumed_for_its_subscribers() {
    let mut sim = Sim::new(3, 87);
    let publisher = sim.join(0, Way::clean(10));
    // The sound stays: a description without any live section ends the transport of some clients.
    let track = sim.publish(publisher, &[Media::audio(), Media::video(30, 90, 500)]).remove(1);
    let subscriber = sim.join(2, Way::clean(10));
    sim.subscribe(subscriber, &[&track]);
    sim.run_for(2 * SECOND);
    sim.stop(publisher, &track.mid);
    sim.run_for(2 * SECOND);
    let before = sim.received(subscriber, &track).unwrap().packets;
    let again = sim.publish_again(publisher, &Media::video(30, 90, 500), track.publication);
    sim.run_for(2 * SECOND);
    let stream = sim.received(subscriber, &track).unwrap();
    assert!(stream.packets > before + 100, "{} {before}", stream.packets);
    assert!(stream.source(again.source, 0).is_some_and(|one| one.keyframes > 0 && one.counters.gaps() == 0));
}

#[test]
fn names_that_a_publisher_has_left_behind_leave_nothing_on_any_shard() {
    let mut sim = Sim::new(2, 89);
    let publisher = sim.join(0, Way::clean(5));
    let kept = sim.publish(publisher, &[Media::audio()]).remove(0);
    let viewer = sim.join(1, Way::clean(5));
    sim.subscribe(viewer, &[&kept]);
    // One of the names has a viewer who stays, in case that it comes back.
    let awaited = sim.publish(publisher, &[Media::video(30, 60, 300)]).remove(0);
    sim.subscribe(viewer, &[&awaited]);
    sim.run_for(SECOND);
    sim.stop(publisher, &awaited.mid);
    for _ in 0..40 {
        let track = sim.publish(publisher, &[Media::video(30, 60, 300)]).remove(0);
        sim.run_for(100 * MS);
        sim.stop(publisher, &track.mid);
    }
    sim.run_for(SECOND);
    assert_eq!(sim.sizes().publications, 4, "those two, and their replicas");
    let again = sim.publish_again(publisher, &Media::video(30, 60, 300), awaited.publication);
    sim.run_for(2 * SECOND);
    assert!(sim.received(viewer, &again).is_some_and(|stream| stream.packets > 30));
    // Control hears that it flows, however short the pause was.
    sim.stop(publisher, &again.mid);
    let again = sim.publish_again(publisher, &Media::video(30, 60, 300), awaited.publication);
    let before = sim.now;
    sim.run_for(SECOND);
    let live = sim.told(|event| matches!(event, Event::PublicationLive(id) if *id == again.publication));
    assert!(live.last() > Some(&before), "{live:?}");
    sim.pause_sources();
    sim.run_for(SECOND);
    sim.account(viewer, &kept).assert_complete();
}
