//! One direction of the way between a client and its shard, and what became of every RTP packet on it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m_netem::{Input, Netem, NetemConfig, Output, Probability, RandomLoss};

/// How a link treats datagrams.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinkSpec {
    /// One-way delay.
    pub(crate) delay: Duration,
    /// Added to or taken from the delay, evenly spread: reorders.
    pub(crate) jitter: Duration,
    /// Share of datagrams lost.
    pub(crate) loss: f32,
    /// Share of datagrams that arrive twice.
    pub(crate) duplicate: f32,
    /// Every so many datagrams, one overtakes the one before it.
    pub(crate) reorder_gap: Option<u32>,
}

impl LinkSpec {
    /// A link that only takes time.
    pub(crate) const fn clean(delay_ms: u64) -> Self {
        let (jitter, loss, duplicate) = (Duration::ZERO, 0.0, 0.0);
        Self { delay: Duration::from_millis(delay_ms), jitter, loss, duplicate, reorder_gap: None }
    }

    /// The same with a share of datagrams lost.
    pub(crate) const fn with_loss(mut self, loss: f32) -> Self {
        self.loss = loss;
        self
    }

    /// The same with a delay that varies.
    pub(crate) const fn with_jitter(mut self, jitter_ms: u64) -> Self {
        self.jitter = Duration::from_millis(jitter_ms);
        self
    }

    /// The same with a share of datagrams that arrive twice.
    pub(crate) const fn with_duplicates(mut self, duplicate: f32) -> Self {
        self.duplicate = duplicate;
        self
    }

    /// The same with datagrams that overtake others.
    pub(crate) const fn with_reordering(mut self, gap: u32) -> Self {
        self.reorder_gap = Some(gap);
        self
    }

    fn config(&self, seed: u64) -> NetemConfig {
        let mut config = NetemConfig::new()
            .latency(self.delay)
            .jitter(self.jitter)
            .duplicate(Probability::new(self.duplicate));
        if self.loss > 0.0 {
            config = config.loss(RandomLoss::new(Probability::new(self.loss)));
        }
        if let Some(gap) = self.reorder_gap {
            config = config.reorder_gap(gap);
        }
        config.seed(seed)
    }
}

/// How often one RTP packet, named by SSRC and sequence number, was put on a link and lost there.
#[derive(Debug, Clone, Copy, Default)]
struct Fate {
    sent: u32,
    lost: u32,
}

/// A datagram on its way to or from a client.
#[derive(Debug, Clone)]
pub(crate) struct Datagram {
    /// The client's address.
    pub(crate) client: SocketAddr,
    /// Its contents.
    pub(crate) contents: Vec<u8>,
}

impl AsRef<[u8]> for Datagram {
    fn as_ref(&self) -> &[u8] {
        &self.contents
    }
}

/// One direction.
pub(crate) struct Link {
    netem: Netem<Datagram>,
    fates: HashMap<(u32, u16), Fate>,
    /// RTP datagrams put on it, retransmissions included.
    pub(crate) rtp: u64,
    /// Datagrams lost on it.
    pub(crate) lost: u64,
    /// When the newest datagram arrived.
    pub(crate) arrived_at: Option<Instant>,
    /// The same of RTP packets alone.
    pub(crate) rtp_arrived_at: Option<Instant>,
    /// Whether it is cut: everything is lost.
    pub(crate) cut: bool,
    /// Whether what begins with a sender report is lost.
    pub(crate) without_reports: bool,
    /// Whether DTLS is lost.
    pub(crate) without_dtls: bool,
    /// Whether connectivity checks are lost.
    pub(crate) without_checks: bool,
    /// What began with a sender report and was not lost, by its sender's SSRC.
    pub(crate) reports: HashMap<u32, u32>,
    /// What was put on it, kept when a scenario wants to look at it.
    pub(crate) captured: Option<Vec<Vec<u8>>>,
    /// The newest of these.
    pub(crate) newest_reports: HashMap<u32, Vec<u8>>,
}

impl Link {
    pub(crate) fn new(spec: LinkSpec, seed: u64) -> Self {
        let netem = Netem::new(spec.config(seed));
        Self {
            netem,
            fates: HashMap::new(),
            rtp: 0,
            lost: 0,
            arrived_at: None,
            rtp_arrived_at: None,
            cut: false,
            without_reports: false,
            without_dtls: false,
            without_checks: false,
            reports: HashMap::new(),
            captured: None,
            newest_reports: HashMap::new(),
        }
    }

    /// Is another link from now on; what is on its way arrives as before.
    pub(crate) fn become_another(&mut self, spec: LinkSpec, seed: u64) {
        self.netem.set_config(spec.config(seed));
    }

    /// Puts a datagram on the link.
    pub(crate) fn push(&mut self, now: Instant, datagram: Datagram) {
        if let Some(captured) = &mut self.captured {
            captured.push(datagram.contents.clone());
        }
        let rtp = rtp_name(&datagram.contents);
        let before = self.netem.queue_len();
        let report = sender_report(&datagram.contents);
        let is_dtls = datagram.contents.first().is_some_and(|first| (20..64).contains(first));
        let is_check = datagram.contents.starts_with(&[0, 1]);
        let held_back = self.without_reports && report.is_some()
            || self.without_dtls && is_dtls
            || self.without_checks && is_check;
        if !self.cut && !held_back {
            if let Some(ssrc) = report {
                *self.reports.entry(ssrc).or_default() += 1;
                self.newest_reports.insert(ssrc, datagram.contents.clone());
            }
            self.netem.handle_input(Input::Packet(now, datagram));
        }
        let lost = self.netem.queue_len() == before;
        self.lost += u64::from(lost);
        if let Some(name) = rtp {
            self.rtp += 1;
            let fate = self.fates.entry(name).or_default();
            fate.sent += 1;
            fate.lost += u32::from(lost);
        }
    }

    /// Takes a datagram that has arrived.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Datagram> {
        if self.netem.poll_timeout() > now {
            return None;
        }
        self.netem.handle_input(Input::Timeout(now));
        match self.netem.poll_output() {
            Some(Output::Packet(datagram)) => {
                self.arrived_at = Some(now);
                if rtp_name(&datagram.contents).is_some() {
                    self.rtp_arrived_at = Some(now);
                }
                Some(datagram)
            }
            Some(Output::Timeout(_)) | None => None,
        }
    }

    /// When the next datagram arrives.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        (!self.netem.is_empty()).then(|| self.netem.poll_timeout())
    }

    /// Whether an RTP packet was put on the link.
    pub(crate) fn has_sent(&self, ssrc: u32, seq: u64) -> bool {
        self.fates.contains_key(&(ssrc, low16(seq)))
    }

    /// Whether an RTP packet was put on the link and lost every time.
    pub(crate) fn has_lost(&self, ssrc: u32, seq: u64) -> bool {
        self.fates.get(&(ssrc, low16(seq))).is_some_and(|fate| fate.sent == fate.lost)
    }
}

fn low16(seq: u64) -> u16 {
    (seq & 0xffff) as u16
}

/// SSRC and sequence number of an RTP packet: its header is not encrypted (RFC 3711 3.1).
pub(crate) fn rtp_name(datagram: &[u8]) -> Option<(u32, u16)> {
    let is_rtp =
        datagram.len() >= 12 && (128..192).contains(&datagram[0]) && !(192..224).contains(&datagram[1]);
    let seq = u16::from_be_bytes([*datagram.get(2)?, *datagram.get(3)?]);
    let ssrc = u32::from_be_bytes(datagram.get(8..12)?.try_into().ok()?);
    is_rtp.then_some((ssrc, seq))
}

/// SSRC of whoever sends a datagram that begins with a sender report (RFC 3550 6.4.1): its first words are not encrypted.
fn sender_report(datagram: &[u8]) -> Option<u32> {
    let ssrc = u32::from_be_bytes(datagram.get(4..8)?.try_into().ok()?);
    ((128..192).contains(&datagram[0]) && datagram[1] == 200).then_some(ssrc)
}

/// Sender SSRC and index of an SRTCP packet under AES-GCM: the index stands at its very end (RFC 7714 9.2).
pub(crate) fn rtcp_name(datagram: &[u8]) -> Option<(u32, u32)> {
    let is_rtcp =
        datagram.len() >= 12 && (128..192).contains(&datagram[0]) && (192..224).contains(&datagram[1]);
    let ssrc = u32::from_be_bytes(datagram.get(4..8)?.try_into().ok()?);
    let index = u32::from_be_bytes(*datagram.last_chunk()?) & 0x7fff_ffff;
    is_rtcp.then_some((ssrc, index))
}
