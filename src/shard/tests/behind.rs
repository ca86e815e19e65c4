//! Who lags behind: what it is given, in which order, how much at a time, and what becomes of it.

use super::*;
use crate::router::LayerIndex;
use crate::shard::tracks::{Drink, PublicationKey, SubscriptionKey};

/// A publication with a keyframe and ten frames of a packet each, one every 20 ms.
struct Bench {
    shard: Shard,
    keys: Arc<NodeKeys>,
    start: Instant,
    key: PublicationKey,
    layer: LayerIndex,
    /// Number of the keyframe.
    first: u64,
}

const FIRST: u64 = 10;

impl Bench {
    fn new() -> Self {
        let (mut shard, keys) = shard(1000);
        let start = start();
        let session =
            shard.sessions.insert(Session::new(keys.mint_session(ShardId(0)), Box::default(), start));
        let Shard { tracks, ledger, .. } = &mut shard;
        let key = tracks.publish(start, (PublicationId(1), MediaKind::Video), session, &[], ledger);
        let layer = tracks.layer_named(start, key, None, ledger).unwrap();
        let mut bench = Self { shard, keys, start, key, layer, first: 0 };
        for seq in FIRST..=FIRST + 10 {
            bench.push(seq, (seq - FIRST) * 20, 7);
        }
        bench.first =
            bench.shard.tracks.publication(key).unwrap().state.beginning(layer, bench.at(200)).unwrap();
        bench
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    /// A packet comes, and the turn ends.
    fn push(&mut self, seq: u64, ms: u64, ssrc: u32) {
        self.come(seq, ms, ssrc);
        let dirty = self.shard.tracks.take_dirty();
        self.shard.tracks.end_tick(dirty);
    }

    fn come(&mut self, seq: u64, ms: u64, ssrc: u32) {
        let keyframe = u8::from(seq != FIRST);
        let payload = [0x10, keyframe, 0, 0, 0x9d, 1, 0x2a, 0, 0, 0, 0];
        let timestamp = u32::try_from(seq).unwrap() * 3000;
        let packet =
            Packet { payload: payload[..].into(), timestamp, received_at: self.at(ms), ..packet(seq) };
        let feed = Feed { ssrc, clock_rate: 90_000 };
        let (now, to) = (self.at(ms), (self.key, self.layer));
        let Shard { tracks, ledger, .. } = &mut self.shard;
        tracks.ingest(now, to, feed, (Codec::Vp8, packet), ledger);
    }

    /// A newcomer that can be sent to.
    fn newcomer(&mut self, ms: u64) -> SubscriptionKey {
        let (now, of) = (self.at(ms), (PublicationId(1), MediaKind::Video, ShardId(0)));
        let session = Session::new(self.keys.mint_session(ShardId(0)), Box::default(), now);
        let session = self.shard.sessions.insert(session);
        let map = PayloadMap {
            from: 111,
            to: 96,
            rtx: None,
            codec: Codec::Vp8,
            clock_rate: 90_000,
            form: PayloadForm::Whole,
        };
        let state = Subscription::new(MediaKind::Video, vec![map], LayerPreference::default(), 0, 0);
        let Shard { tracks, ledger, .. } = &mut self.shard;
        let key = tracks.subscribe(now, of, StreamSink::new(session, 0, state, vec![map]), ledger);
        tracks.begin(now, key, ledger);
        key
    }

    /// What those behind are given at a moment, counted from the keyframe, while each gets this answer.
    fn given(&mut self, ms: u64, answer: Drink) -> Vec<u64> {
        let (now, first, mut given) = (self.at(ms), self.first, Vec::new());
        let Shard { tracks, ledger, .. } = &mut self.shard;
        tracks.catch_up(now, ledger, |publication, stream, entry, _| {
            given.push(entry.cached.packet.seq - first);
            if answer == Drink::Taken {
                stream.state.rewrite(publication, entry);
            }
            answer
        });
        given
    }

    fn is_open(&mut self, key: SubscriptionKey) -> bool {
        self.shard.tracks.stream_mut(key).unwrap().is_open()
    }

    fn asks(&mut self) -> bool {
        let Shard { tracks, ledger, .. } = &mut self.shard;
        tracks.poll_keyframe(ledger).is_some()
    }
}

#[test]
fn each_number_is_given_once_at_its_time_and_a_late_one_when_it_comes() {
    let mut bench = Bench::new();
    let newcomer = bench.newcomer(200);
    assert_eq!(bench.shard.poll_release(), Some(bench.at(200)));
    assert_eq!(bench.given(200, Drink::Taken), [0, 1], "what came within 20 ms of the keyframe");
    assert_eq!(bench.shard.poll_release(), Some(bench.at(205)));
    assert_eq!(bench.given(204, Drink::Taken), [0; 0], "not yet");
    assert_eq!(bench.given(205, Drink::Taken), [2]);
    assert_eq!(bench.given(210, Drink::Later), [3], "it has no room");
    assert_eq!(bench.given(215, Drink::Taken), [3, 4]);
    // Number 11 is still under way when those behind it come.
    bench.push(FIRST + 12, 216, 7);
    bench.push(FIRST + 13, 260, 7);
    assert_eq!(bench.given(250, Drink::Taken), [5, 6, 7, 8, 9, 10, 12]);
    assert!(!bench.is_open(newcomer));
    bench.push(FIRST + 11, 251, 7);
    assert_eq!(bench.given(255, Drink::Later), [11]);
    assert_eq!(bench.given(260, Drink::Taken), [11, 13]);
    assert!(bench.is_open(newcomer));
    assert_eq!(bench.shard.poll_release(), None);
    assert!(!bench.asks(), "nobody was asked");
}

#[test]
fn who_cannot_go_on_in_the_cache_takes_what_comes_and_has_a_keyframe_asked_for() {
    // It leads nowhere; another source feeds the layer; what it needs is gone.
    for (answer, seq, ssrc, lost) in
        [(Drink::Never, 21, 7, 0), (Drink::Taken, 21, 8, 0), (Drink::Taken, 5000, 7, 1)]
    {
        let mut bench = Bench::new();
        let newcomer = bench.newcomer(200);
        assert_eq!(bench.given(200, Drink::Taken), [0, 1]);
        assert!(!bench.asks());
        bench.push(seq, 201, ssrc);
        bench.given(205, answer);
        assert!(bench.is_open(newcomer), "{seq} {ssrc}");
        assert_eq!(dropped(&mut bench.shard, DropReason::Held).min(1), lost);
        bench.come(seq + 1, 210, ssrc);
        let (Shard { tracks, ledger, .. }, mut stuck) = (&mut bench.shard, None);
        tracks.pour(bench.key, ledger, |publication, stream, _, _| {
            for entry in publication.batch() {
                stream.state.rewrite(publication, entry);
            }
            stuck = stream.state.stuck();
        });
        assert_eq!(stuck, Some(bench.layer), "{seq} {ssrc}");
    }
}

#[test]
fn who_is_behind_is_given_so_much_at_a_time_and_one_is_done_after_the_other() {
    let mut bench = Bench::new();
    for seq in FIRST + 11..FIRST + 111 {
        bench.push(seq, 200, 7);
    }
    let newcomers: Vec<_> = (0..10).map(|_| bench.newcomer(200)).collect();
    // So late that all of it is due.
    let given = bench.given(400, Drink::Taken);
    assert_eq!(given, (0..64).cycle().take(512).collect::<Vec<_>>(), "64 for each of the first eight");
    assert!(newcomers.iter().all(|newcomer| !bench.is_open(*newcomer)));
    let given = bench.given(405, Drink::Taken);
    let (finished, begun) = ((64..111).cycle().take(8 * 47), (0..64).cycle().take(2 * 64));
    assert_eq!(given, finished.chain(begun).collect::<Vec<_>>(), "who has begun comes first");
    assert!(newcomers[..8].iter().all(|newcomer| bench.is_open(*newcomer)));
    assert!(newcomers[8..].iter().all(|newcomer| !bench.is_open(*newcomer)));
    bench.given(410, Drink::Taken);
    assert!(newcomers.iter().all(|newcomer| bench.is_open(*newcomer)));
}
