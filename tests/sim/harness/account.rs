//! What became of every packet of a track for one subscriber.

use ringcast_bench::reception::ReceivedStream;

use super::{PeerKey, Sim, Track};

/// The account of one subscriber and one track without simulcast.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Packets that the publisher sent from the first one that came to the last one that came: a receiver
    /// cannot miss what lies before and behind.
    pub(crate) expected: u64,
    /// Of these, received.
    pub(crate) delivered: u64,
    /// Never reached the shard: lost on the publisher's way.
    pub(crate) lost_up: u64,
    /// Sent by the shard, lost on the subscriber's way, and not recovered.
    pub(crate) lost_down: u64,
    /// Counters for which there is no excuse.
    pub(crate) unaccounted: Vec<u64>,
}

impl Sim {
    /// Draws up the account, and checks what holds whatever the network does: nothing twice, nothing damaged,
    /// sequence numbers in the order and with the distances of the publisher's, a keyframe first.
    pub(crate) fn account(&mut self, subscriber: PeerKey, track: &Track) -> Account {
        let stream = self.received(subscriber, track).expect("nothing was received").clone();
        assert_eq!((stream.repeated(), stream.corrupt), (0, 0), "repeated, damaged");
        let offset = offset(&stream);
        let publisher = self.peer_mut(track.owner);
        let up_ssrc = publisher.client.published_ssrc(&track.mid, 0).unwrap();
        let source = publisher.client.published().iter().find(|one| one.source.id() == track.source).unwrap();
        let sent = source.source.totals().next().unwrap().packets;
        let up_seq: Vec<u64> = (0..sent).map(|counter| source.source.seq_of(0, counter).unwrap()).collect();
        let (up, down) = (&self.peer(track.owner).up, &self.peer(subscriber).down);
        let out = |counter: u64| counter.wrapping_add(offset);
        let reception = stream.source(track.source, 0).unwrap();
        let (first_seen, last_seen) =
            (reception.counters.first().unwrap(), reception.counters.last().unwrap());
        let mut first = first_seen;
        while first > 0 && down.has_sent(stream.ssrc, out(first - 1)) {
            first -= 1;
        }
        check_beginning(&stream, first);
        let seen = first_seen..=last_seen;
        let mut account = Account { expected: last_seen + 1 - first_seen, ..Account::default() };
        for counter in first..sent {
            if reception.counters.contains(counter) {
                account.delivered += 1;
            } else if down.has_lost(stream.ssrc, out(counter)) {
                account.lost_down += u64::from(seen.contains(&counter));
            } else if !down.has_sent(stream.ssrc, out(counter))
                && up.has_lost(up_ssrc, up_seq[counter as usize])
            {
                account.lost_up += u64::from(seen.contains(&counter));
            } else {
                account.unaccounted.push(counter);
            }
        }
        account
    }
}

impl Account {
    /// Everything came.
    pub(crate) fn assert_complete(&self) {
        assert_eq!(self.delivered, self.expected, "{self:?}");
        assert_eq!(self.unaccounted, [0; 0], "{self:?}");
    }

    /// Everything came or is accounted for, and at most this share was lost for good.
    pub(crate) fn assert_lost_at_most(&self, share: f64) {
        assert_eq!(self.unaccounted, [0; 0], "{self:?}");
        let lost = self.expected - self.delivered;
        assert!(lost as f64 <= share * self.expected as f64, "{self:?}");
    }
}

/// What is added to a counter to get the sequence number that this subscriber sees, the same for all packets.
fn offset(stream: &ReceivedStream) -> u64 {
    let mut offsets = stream.log.iter().map(|arrival| arrival.seq.wrapping_sub(arrival.stamp.counter));
    let first = offsets.next().unwrap();
    assert!(offsets.all(|offset| offset == first), "sequence numbers do not follow the publisher's");
    first
}

fn check_beginning(stream: &ReceivedStream, first: u64) {
    let arrival = stream.log.iter().find(|arrival| arrival.stamp.counter == first);
    if let Some(arrival) = arrival.filter(|_| stream.video) {
        assert!(arrival.stamp.keyframe, "the first packet is of no keyframe");
    }
}
