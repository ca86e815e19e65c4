//! What is lost is sent again from where it is nearest.

use std::time::Duration;

use ringcast::metrics::shard::Retransmission;
use ringcast_bench::source::Media;

use crate::harness::link::LinkSpec;
use crate::harness::{Sim, Way};

const VIDEO_SECONDS: Duration = Duration::from_secs(4);

#[test]
fn a_subscribers_loss_is_made_good_from_the_cache_and_never_asked_of_the_publisher() {
    for shards in [1, 3] {
        let mut sim = Sim::new(shards, 61);
        let publisher = sim.join(0, Way::clean(40));
        let track = sim.publish(publisher, &[Media::video(30, 200, 1000)]).remove(0);
        let lossy = Way { up: LinkSpec::clean(25), down: LinkSpec::clean(25).with_loss(0.05) };
        let subscriber = sim.join(shards - 1, lossy);
        sim.subscribe(subscriber, &[&track]);
        sim.run_for(VIDEO_SECONDS);
        sim.pause_sources();
        sim.run_for(Duration::from_secs(2));
        let account = sim.account(subscriber, &track);
        account.assert_lost_at_most(0.001);
        assert_eq!(account.lost_up, 0);
        assert!(sim.peer(subscriber).down.lost > 20, "the link must have lost something");
        let again = sim.counted(|counters| counters.retransmissions.of(Retransmission::Hit));
        assert!(again > 20, "{again}");
        let sent = sim.peer(publisher).client.published()[0].source.totals().next().unwrap().packets;
        assert_eq!(sim.peer(publisher).up.rtp, sent, "the publisher sends every packet once");
        let latency = sim.received(subscriber, &track).unwrap().latency.clone();
        // The way there, and one round trip of the subscriber for what is lost once.
        let once = Duration::from_millis(40 + 25 + 50);
        assert!(
            latency.quantile(0.99) < Some(once + Duration::from_millis(60)),
            "{:?}",
            latency.quantile(0.99)
        );
    }
}

#[test]
fn a_publishers_loss_is_made_good_for_all_subscribers() {
    let mut sim = Sim::new(3, 67);
    let lossy = Way { up: LinkSpec::clean(20).with_loss(0.05), down: LinkSpec::clean(20) };
    let publisher = sim.join(0, lossy);
    let track = sim.publish(publisher, &[Media::video(30, 200, 1000)]).remove(0);
    let subscribers: Vec<_> = (0..3).map(|shard| sim.join(shard, Way::clean(20))).collect();
    for subscriber in &subscribers {
        sim.subscribe(*subscriber, &[&track]);
    }
    sim.run_for(VIDEO_SECONDS);
    sim.pause_sources();
    sim.run_for(Duration::from_secs(2));
    assert!(sim.peer(publisher).up.lost > 20, "the link must have lost something");
    for subscriber in subscribers {
        let account = sim.account(subscriber, &track);
        account.assert_lost_at_most(0.001);
        assert_eq!(account.lost_down, 0);
    }
}
