//! A publisher that sends a layer by another stream than before.

use std::time::Duration;

use ringcast::drop::DropReason;
use ringcast_bench::source::Media;

use crate::harness::link::rtp_name;
use crate::harness::{Sim, Way};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_late_packet_of_a_former_stream_does_not_switch_the_layer_back() {
    for shards in [1, 3] {
        let mut sim = Sim::new(shards, 181);
        let publisher = sim.join(0, Way::clean(20));
        let tracks = sim.publish(publisher, &[Media::audio(), Media::video(30, 150, 900)]);
        let viewer = sim.join(shards - 1, Way::clean(20));
        sim.subscribe(viewer, &[&tracks[1]]);
        let bystander = sim.join(shards - 1, Way::clean(20));
        sim.subscribe(bystander, &[&tracks[0]]);
        sim.run_for(2 * SECOND);
        let client = &mut sim.peer_mut(publisher).client;
        let former = client.published_ssrc(&tracks[1].mid, 0).unwrap();
        // Packets that the network holds back.
        sim.captured = Some(Vec::new());
        sim.peer_mut(publisher).up.cut = true;
        sim.run_for(Duration::from_millis(70));
        sim.peer_mut(publisher).up.cut = false;
        let held_back = sim.captured.take().unwrap();
        assert!(sim.peer_mut(publisher).client.change_ssrc(&tracks[1].mid, 0, 7001, 7002));
        sim.run_for(SECOND);
        let requests = |sim: &Sim| {
            let totals = sim.peer(publisher).client.published()[1].source.totals().next().unwrap();
            totals.keyframe_requests.len()
        };
        let (asked, dropped) = (requests(&sim), sim.dropped(DropReason::FormerSource));
        let address = sim.peer(publisher).client.address();
        let late: Vec<_> = held_back
            .into_iter()
            .filter(|(_, from, one)| *from == address && rtp_name(one).is_some_and(|name| name.0 == former))
            .collect();
        assert!(late.len() > 5, "{}", late.len());
        for (shard, from, datagram) in &late {
            sim.inject(*shard, *from, datagram);
            sim.run_for(Duration::from_millis(50));
        }
        assert_eq!(sim.dropped(DropReason::FormerSource) - dropped, late.len() as u64);
        assert_eq!(requests(&sim), asked, "nothing has begun anew");
        let newest = sim.received(viewer, &tracks[1]).unwrap().source(tracks[1].source, 0).unwrap().newest_at;
        assert!(sim.now.duration_since(newest) < Duration::from_millis(100));
        sim.pause_sources();
        sim.run_for(SECOND);
        // The packets of the cut are missing to both; nothing else is.
        let sound = sim.received(bystander, &tracks[0]).unwrap();
        assert!(sound.source(tracks[0].source, 0).unwrap().counters.gaps() <= 6);
    }
}
