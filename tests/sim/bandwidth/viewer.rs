//! A client that receives: transport feedback at the intervals of libwebrtc's receiver, and requests for what is missing.

use std::collections::{BTreeMap, VecDeque};

use ringcast::congestion::Micros;

/// Bounds of the time between two feedbacks, and the share of what is received that they may take, in a size of 68 bytes each.
const FEEDBACK_EVERY: (Micros, Micros) = (50_000, 250_000);
const FEEDBACK_BITS: f64 = 68.0 * 8.0;
const FEEDBACK_SHARE: f64 = 0.05;

/// How often a packet is asked for.
const ASKED_MAX: u32 = 3;

/// A packet on its way to the client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    /// Transport-wide number.
    pub(crate) number: u64,
    pub(crate) bytes: u64,
    /// Number within the video stream, for media and what repairs it.
    pub(crate) video: Option<u64>,
    pub(crate) is_audio: bool,
}

/// What a client says, and when the server hears it.
#[derive(Debug)]
pub(crate) enum Said {
    /// Of numbers from this one on, when each arrived.
    Feedback(u64, Vec<Option<Micros>>),
    /// Missing packets of the video stream.
    Missing(Vec<u64>),
}

#[derive(Debug)]
pub(crate) struct Viewer {
    one_way: Micros,
    next_feedback: Micros,
    /// The first number that was not told of, and what has come from there on.
    told_to: u64,
    arrivals: Vec<Option<Micros>>,
    bits: f64,
    bits_since: Micros,
    next_video: Option<u64>,
    missing: BTreeMap<u64, (Micros, u32)>,
    said: VecDeque<(Micros, Said)>,
    pub(crate) audio: u64,
    pub(crate) video: u64,
}

impl Viewer {
    pub(crate) fn new(round_trip_ms: u64) -> Self {
        Self {
            one_way: round_trip_ms * 500,
            next_feedback: FEEDBACK_EVERY.0,
            told_to: 0,
            arrivals: Vec::new(),
            bits: 0.0,
            bits_since: 0,
            next_video: None,
            missing: BTreeMap::new(),
            said: VecDeque::new(),
            audio: 0,
            video: 0,
        }
    }

    pub(crate) fn receive(&mut self, at: Micros, packet: Sent) {
        self.bits += packet.bytes as f64 * 8.0;
        if packet.number >= self.told_to {
            let place = (packet.number - self.told_to) as usize;
            if self.arrivals.len() <= place {
                self.arrivals.resize(place + 1, None);
            }
            self.arrivals[place] = Some(at);
        }
        self.audio += u64::from(packet.is_audio);
        let Some(number) = packet.video else { return };
        let next = *self.next_video.get_or_insert(number);
        if number >= next {
            self.video += 1;
            (next..number).for_each(|number| {
                self.missing.insert(number, (at, 0));
            });
            self.next_video = Some(number + 1);
        } else if self.missing.remove(&number).is_some() {
            self.video += 1;
        }
    }

    pub(crate) fn advance(&mut self, now: Micros) {
        if now >= self.next_feedback && !self.arrivals.is_empty() {
            let passed = (now - self.bits_since).max(1) as f64 / 1e6;
            let bps = self.bits / passed;
            let every = (FEEDBACK_BITS / (FEEDBACK_SHARE * bps.max(1.0)) * 1e6) as Micros;
            self.next_feedback = now + every.clamp(FEEDBACK_EVERY.0, FEEDBACK_EVERY.1);
            // A mean of the last second or so.
            if passed > 1.0 {
                (self.bits, self.bits_since) = (self.bits / 2.0, now - (passed * 5e5) as Micros);
            }
            let arrivals = std::mem::take(&mut self.arrivals);
            let from = self.told_to;
            self.told_to += arrivals.len() as u64;
            self.said.push_back((now + self.one_way, Said::Feedback(from, arrivals)));
        }
        let again = (2 * self.one_way).max(20_000) + 20_000;
        let mut asked = Vec::new();
        self.missing.retain(|number, (at, times)| {
            if now >= *at {
                *at = now + again;
                *times += 1;
                if *times > ASKED_MAX {
                    return false;
                }
                asked.push(*number);
            }
            true
        });
        if !asked.is_empty() {
            self.said.push_back((now + self.one_way, Said::Missing(asked)));
        }
    }

    pub(crate) fn said(&mut self, now: Micros) -> Option<Said> {
        self.said.pop_front_if(|(at, _)| *at <= now).map(|(_, said)| said)
    }
}
