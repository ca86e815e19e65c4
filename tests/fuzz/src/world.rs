//! The node that an input is played to: one client that says anything, and a call of two others that must not notice.

use std::time::Duration;

use ringcast::ids::ShardId;
use ringcast::session::PATHS_MAX;
use ringcast::shard::TableSizes;
use ringcast_bench::client::channels::ChannelSetup;
use ringcast_bench::source::{Layer, Media};

use crate::Trace;
use crate::harness::{PeerKey, Sim, Track, Way};

pub(crate) const MS: Duration = Duration::from_millis(1);

/// How much of the client there is when the input begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its checks are answered, and nothing of its DTLS gets through.
    Checked,
    /// It sends sound and three layers of a picture, and receives sound.
    Sending,
    /// It has a data channel of its own besides, and nothing else.
    Talking,
}

pub(crate) struct World {
    pub(crate) sim: Sim,
    /// The client that says anything.
    pub(crate) client: PeerKey,
    pub(crate) tracks: Vec<Track>,
    bystander: PeerKey,
    bystanders_track: Track,
}

pub(crate) const SHARD: ShardId = ShardId(0);

impl World {
    pub(crate) fn begin(stage: Stage) -> Self {
        let mut sim = Sim::new(1, 1);
        let [speaker, bystander] = [0, 0].map(|shard| sim.join(shard, Way::clean(2)));
        let bystanders_track = sim.publish(speaker, &[Media::audio()]).remove(0);
        sim.subscribe(bystander, &[&bystanders_track]);
        let client = sim.join(0, Way::clean(2));
        let mut tracks = Vec::new();
        match stage {
            Stage::Checked => {
                sim.peer_mut(client).up.without_dtls = true;
                tracks = sim.publish(client, &[Media::audio()]);
            }
            Stage::Sending => {
                tracks = sim.publish(client, &[Media::audio(), simulcast()]);
                sim.subscribe(client, &[&bystanders_track]);
            }
            Stage::Talking => {
                sim.establish_channels(client);
                let now = sim.now;
                sim.peer_mut(client).client.open_channel(now, &ChannelSetup::reliable("any", None));
            }
        }
        sim.run_for(300 * MS);
        Self { sim, client, tracks, bystander, bystanders_track }
    }

    /// Lets a little time pass.
    pub(crate) fn go_on(&mut self, kind: u8) {
        // The upper bits of what a piece is say how soon the next one comes.
        self.sim.run_for(u32::from(kind >> 5) * 3 * MS);
    }

    /// Looks at what must hold whatever was said, and has all leave.
    pub(crate) fn end(mut self) -> Trace {
        self.sim.run_for(200 * MS);
        self.sim.pause_sources();
        self.sim.run_for(1_000 * MS);
        assert_eq!(self.sim.counted(|all| all.session_failures), 0, "a session has failed");
        let account = self.sim.account(self.bystander, &self.bystanders_track);
        assert!(account.expected > 10, "{account:?}");
        account.assert_complete();
        let sizes = self.sim.sizes();
        assert!(sizes.sessions <= 3 && sizes.paths <= sizes.sessions * PATHS_MAX, "{sizes:?}");
        let trace = Trace::of(&mut self.sim);
        for peer in [self.client, self.bystander, self.bystanders_track.owner] {
            self.sim.leave(peer);
        }
        self.sim.run_for(10 * MS);
        assert_eq!(self.sim.sizes(), TableSizes::default(), "something is left");
        trace
    }
}

fn simulcast() -> Media {
    let layer = |rid: &str| Layer { rid: rid.to_owned(), packets_per_second: 30 };
    Media::Video { fps: 30, payload_bytes: 200, layers: ["f", "h", "q"].map(layer).into() }
}
