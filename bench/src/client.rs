//! A WebRTC client without sockets, clock or threads: full ICE agent, DTLS client, RTP sender and receiver.
//!
//! Text SDP goes in and out by [`Client::create_offer`], [`Client::accept_answer`] and [`Client::accept_offer`];
//! datagrams by [`Client::handle_datagram`] and [`Client::poll_transmit`]; time by [`Client::handle_timeout`] and
//! [`Client::poll_timeout`]. Sources that were published send as soon as the client is connected, and answer a
//! keyframe request with their next frame. Everything that comes in is accounted for in [`Client::streams`].

pub mod channels;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::format::Codec;
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid, Pt, Rid, Simulcast, SimulcastLayer};
use str0m::net::{Protocol, Receive};
use str0m::rtp::rtcp::{Rtcp, Twcc};
use str0m::rtp::{ExtensionValues, RawPacket, RtpPacket, RtpWrite};
use str0m::{Candidate, Event, IceConnectionState, IceCreds, Input, Output, Rtc, RtcConfig};

use self::channels::ClientChannel;
use crate::engine;
use crate::histogram::Histogram;
use crate::opening::ExportedKeys;
use crate::reception::{Incoming, ReceivedStream};
use crate::source::{DuePacket, Media, Source};

/// The most outputs that one input may cause before the engine is taken for broken.
const OUTPUT_BUDGET: usize = 10_000;
/// How long sent packets can be asked for again.
const RESEND_WINDOW: Duration = Duration::from_secs(3);
/// Packets of each stream that can be asked for again.
const RESEND_PACKETS: usize = 1024;

/// What a client is made from.
#[derive(Debug, Clone)]
pub struct ClientSetup {
    /// Its only address.
    pub address: SocketAddr,
    /// The beginning of the run: sending times in stamps count from here, for all clients of the run alike.
    pub epoch: Instant,
    /// Whether every arrival is kept, and what the far end says of our own packets.
    pub keep_log: bool,
    /// ICE credentials of a client whose place this one takes; its own when absent.
    pub credentials: Option<Credentials>,
    /// Whether its handshakes repeat themselves at the same times in each run: in a simulation.
    pub repeats: bool,
}

/// ICE credentials of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name fragment.
    pub ufrag: String,
    /// Password.
    pub pwd: String,
}

/// One change that an offer asks for.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// Sends a source.
    Publish {
        /// Mark of its packets, unique in the run.
        id: u32,
        /// What it sends.
        media: &'a Media,
    },
    /// Makes a section in which to receive.
    Receive {
        /// Whether it is for video.
        video: bool,
    },
    /// Stops a section for good.
    Stop {
        /// Its tag.
        mid: &'a str,
    },
    /// Makes the section of data channels.
    DataChannel,
    /// Restarts ICE.
    RestartIce,
}

/// An offer of the client.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The description.
    pub sdp: String,
    /// Tags of the sections that were added, in the order of the changes.
    pub mids: Vec<String>,
}

/// A datagram to send.
#[derive(Debug, Clone)]
pub struct Transmit {
    /// Where it goes.
    pub destination: SocketAddr,
    /// Its contents.
    pub contents: Vec<u8>,
}

/// A published section.
#[derive(Debug)]
pub struct Published {
    mid: Mid,
    rids: Vec<Option<Rid>>,
    /// What is sent in it.
    pub source: Source,
}

impl Published {
    /// Tag of the section.
    pub fn mid(&self) -> &str {
        &self.mid
    }
}

/// One client.
pub struct Client {
    setup: ClientSetup,
    rtc: Rtc,
    pending: Option<(SdpPendingOffer, Vec<Published>)>,
    published: Vec<Published>,
    streams: Vec<ReceivedStream>,
    index_of: HashMap<u32, usize>,
    feedback: Vec<(u64, Duration)>,
    channels: Vec<ClientChannel>,
    transmits: VecDeque<Transmit>,
    timeout: Instant,
    created_at: Instant,
    connected_at: Option<Instant>,
    ice: IceConnectionState,
    closed: bool,
    failure: Option<String>,
    keys: engine::KeyCell,
    waits_for_dtls: bool,
}

/// The certificate of all clients, in DER; `None` when the crypto library cannot make one.
pub fn certificate() -> Option<Vec<u8>> {
    engine::certificate().map(|certificate| certificate.certificate)
}

impl Client {
    /// Makes a client with one address.
    ///
    /// # Errors
    /// When the address cannot be a candidate or the crypto library fails.
    pub fn new(now: Instant, setup: ClientSetup) -> anyhow::Result<Self> {
        let certificate = engine::certificate().context("a certificate cannot be made")?;
        let mut config = RtcConfig::new();
        if let Some(Credentials { ufrag, pwd }) = setup.credentials.clone() {
            config = config.set_local_ice_credentials(IceCreds { ufrag, pass: pwd });
        }
        let keys = engine::KeyCell::default();
        engine::announce(Arc::clone(&keys), setup.repeats);
        let mut rtc = config
            .set_crypto_provider(engine::provider())
            .set_dtls_cert(certificate)
            .set_rtp_mode(true)
            .enable_raw_packets(setup.keep_log)
            .set_rtcp_report_interval_audio(Duration::from_secs(1))
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
            .build(now);
        rtc.add_local_candidate(Candidate::host(setup.address, "udp")?);
        let mut client = Self {
            setup,
            rtc,
            pending: None,
            published: Vec::new(),
            streams: Vec::new(),
            index_of: HashMap::new(),
            feedback: Vec::new(),
            channels: Vec::new(),
            transmits: VecDeque::new(),
            timeout: now,
            created_at: now,
            connected_at: None,
            ice: IceConnectionState::New,
            closed: false,
            failure: None,
            keys,
            waits_for_dtls: false,
        };
        client.input(now, Input::Timeout(now));
        Ok(client)
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.setup.address
    }

    /// What its DTLS handshake exported, once there was one.
    pub fn exported_keys(&self) -> Option<&ExportedKeys> {
        self.keys.keys.get()
    }

    /// Sends a packet of SCTP over the connection, of which its own engine knows nothing.
    pub fn send_aside(&mut self, now: Instant, packet: Vec<u8>) {
        self.keys.aside.lock().unwrap_or_else(PoisonError::into_inner).waiting.push_back(packet);
        self.input(now, Input::Timeout(now));
    }

    /// The common header of the newest packet of SCTP that its engine has sent, and the number of its newest chunk of data.
    pub fn newest_sctp(&self) -> Option<([u8; 12], u32)> {
        self.keys.aside.lock().unwrap_or_else(PoisonError::into_inner).newest
    }

    /// Its ICE credentials.
    pub fn credentials(&mut self) -> Credentials {
        let IceCreds { ufrag, pass } = self.rtc.direct_api().local_ice_credentials();
        Credentials { ufrag, pwd: pass }
    }

    /// Describes the wanted changes. They take effect with the answer; another offer in between forgets them.
    ///
    /// # Errors
    /// When nothing changes.
    pub fn create_offer(&mut self, now: Instant, changes: &[Change<'_>]) -> anyhow::Result<Offer> {
        let mut mids = Vec::new();
        let mut published = Vec::new();
        let mut api = self.rtc.sdp_api();
        for change in changes {
            match change {
                Change::Publish { id, media } => {
                    let mid = api.add_media(
                        kind_of(media.is_video()),
                        Direction::SendOnly,
                        None,
                        None,
                        simulcast(media),
                    );
                    let mut rids: Vec<Option<Rid>> = media.rids().map(|rid| Some(Rid::from(rid))).collect();
                    if rids.is_empty() {
                        rids.push(None);
                    }
                    mids.push(mid.to_string());
                    published.push(Published { mid, rids, source: Source::new(*id, media) });
                }
                Change::Receive { video } => {
                    let mid = api.add_media(kind_of(*video), Direction::RecvOnly, None, None, None);
                    mids.push(mid.to_string());
                }
                Change::Stop { mid } => {
                    api.stop_media(Mid::from(*mid));
                    self.published.retain(|known| known.mid() != *mid);
                }
                Change::DataChannel => {
                    api.add_channel("bench".to_owned());
                }
                Change::RestartIce => {
                    api.ice_restart(true);
                }
            }
        }
        let (offer, pending) = api.apply().context("the offer would change nothing")?;
        self.pending = Some((pending, published));
        self.input(now, Input::Timeout(now));
        Ok(Offer { sdp: offer.to_sdp_string(), mids })
    }

    /// Takes the answer to the newest offer.
    ///
    /// # Errors
    /// When there is no offer, or the answer does not fit it.
    pub fn accept_answer(&mut self, now: Instant, sdp: &str) -> anyhow::Result<()> {
        let (pending, published) = self.pending.take().context("no offer waits for an answer")?;
        let answer = SdpAnswer::from_sdp_string(sdp)?;
        self.rtc.sdp_api().accept_answer(pending, answer)?;
        for section in &published {
            self.keep_resends(section);
        }
        self.published.extend(published);
        self.settle(now);
        Ok(())
    }

    /// Has it answer as the DTLS server, as some native clients do.
    pub fn wait_for_dtls(&mut self) {
        self.waits_for_dtls = true;
    }

    /// Takes an offer and answers it, as the DTLS client unless it is told to wait.
    ///
    /// # Errors
    /// When the offer cannot be taken.
    pub fn accept_offer(&mut self, now: Instant, sdp: &str) -> anyhow::Result<String> {
        // The engine answers `actpass` with `passive`; browsers answer `active`.
        let offered = if self.waits_for_dtls { "a=setup:actpass" } else { "a=setup:passive" };
        let offer = SdpOffer::from_sdp_string(&sdp.replace("a=setup:actpass", offered))?;
        self.pending = None;
        let answer = self.rtc.sdp_api().accept_offer(offer)?;
        self.settle(now);
        Ok(answer.to_sdp_string())
    }

    /// Sends a source in a section that an offer of the other side has made.
    ///
    /// # Errors
    /// When the section is not there or does not send.
    pub fn publish_on(&mut self, now: Instant, mid: &str, id: u32, media: &Media) -> anyhow::Result<()> {
        let mid = Mid::from(mid);
        let section = self.rtc.media(mid).context("there is no such section")?;
        if !section.direction().is_sending() {
            bail!("the section does not send");
        }
        let section = Published { mid, rids: vec![None], source: Source::new(id, media) };
        self.keep_resends(&section);
        self.published.push(section);
        self.settle(now);
        Ok(())
    }

    /// When our packets came by the far end's word, if that is kept: each with its number in the whole connection, and a time
    /// since a moment of the far end's own.
    pub fn feedback(&self) -> &[(u64, Duration)] {
        &self.feedback
    }

    /// Takes a datagram.
    pub fn handle_datagram(&mut self, now: Instant, source: SocketAddr, contents: &[u8]) {
        // What is no STUN, DTLS or RTP is not for this client.
        let Ok(receive) = Receive::new(Protocol::Udp, source, self.setup.address, contents) else { return };
        self.input(now, Input::Receive(now, receive));
    }

    /// Sends what is due and lets timers run.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.write_due(now);
        self.input(now, Input::Timeout(now));
    }

    /// When [`Client::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.closed || self.failure.is_some() {
            return None;
        }
        let sources = self.published.iter().filter_map(|section| section.source.next_at());
        Some(sources.fold(self.timeout, Instant::min))
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// Asks the other side for a keyframe of a received stream.
    pub fn request_keyframe(&mut self, now: Instant, ssrc: u32) {
        if let Some(stream) = self.rtc.direct_api().stream_rx(&ssrc.into()) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
        self.input(now, Input::Timeout(now));
    }

    /// Ends the connection in the way of DTLS.
    pub fn close(&mut self, now: Instant) {
        if let Err(error) = self.rtc.close() {
            self.failure = Some(error.to_string());
        }
        self.published.clear();
        self.input(now, Input::Timeout(now));
    }

    /// When it was made.
    pub fn created_at(&self) -> Instant {
        self.created_at
    }

    /// When ICE and DTLS were up for the first time.
    pub fn connected_at(&self) -> Option<Instant> {
        self.connected_at
    }

    /// Whether ICE is up at present.
    pub fn is_ice_connected(&self) -> bool {
        self.ice.is_connected()
    }

    /// Whether the other side has ended the connection, or this one has.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Why the client cannot go on, if so.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// What it sends.
    pub fn published(&self) -> &[Published] {
        &self.published
    }

    /// What it sends, to pause or to ask for keyframes.
    pub fn published_mut(&mut self) -> &mut [Published] {
        &mut self.published
    }

    /// SSRC under which a layer of a published section is sent.
    pub fn published_ssrc(&mut self, mid: &str, layer: usize) -> Option<u32> {
        let section = self.published.iter().find(|section| section.mid() == mid)?;
        let (mid, rid) = (section.mid, *section.rids.get(layer)?);
        Some(*self.rtc.direct_api().stream_tx_by_mid(mid, rid)?.ssrc())
    }

    /// Sends a layer of a section under other SSRCs from now on, as browsers do that begin a sender anew. Returns whether
    /// there is such a layer.
    pub fn change_ssrc(&mut self, mid: &str, layer: usize, ssrc: u32, rtx: u32) -> bool {
        let section = self.published.iter().find(|section| section.mid() == mid);
        let Some((mid, rid)) = section.and_then(|section| Some((section.mid, *section.rids.get(layer)?)))
        else {
            return false;
        };
        // Not `reset_stream_tx`: the engine of this release does not find requests for the new SSRC then.
        let mut direct = self.rtc.direct_api();
        let Some(former) = direct.stream_tx_by_mid(mid, rid).map(|stream| stream.ssrc()) else {
            return false;
        };
        direct.remove_stream_tx(former);
        direct.declare_stream_tx(ssrc.into(), Some(rtx.into()), mid, rid);
        true
    }

    /// What it has received, by SSRC, in the order of first arrival.
    pub fn streams(&self) -> &[ReceivedStream] {
        &self.streams
    }

    /// Forgets the latencies seen so far.
    pub fn reset_latency(&mut self) {
        self.streams.iter_mut().for_each(|stream| stream.latency = Histogram::default());
    }

    fn settle(&mut self, now: Instant) {
        if self.rtc.is_connected() {
            self.published.iter_mut().for_each(|section| section.source.start(now));
        }
        self.input(now, Input::Timeout(now));
    }

    /// Keeps every packet for a while whatever the share of resends: a lossy link must not become lossier.
    fn keep_resends(&mut self, section: &Published) {
        let mut direct = self.rtc.direct_api();
        for rid in &section.rids {
            if let Some(stream) = direct.stream_tx_by_mid(section.mid, *rid) {
                stream.set_rtx_cache(RESEND_PACKETS, RESEND_WINDOW, None);
            }
        }
    }

    fn write_due(&mut self, now: Instant) {
        let sent = self.nanos(now);
        let mut published = std::mem::take(&mut self.published);
        for section in &mut published {
            while section.source.next_at().is_some_and(|at| at <= now) {
                let video = section.source.is_video();
                for packet in section.source.poll(now, sent) {
                    self.write(now, section.mid, &section.rids, video, packet);
                }
            }
        }
        self.published = published;
    }

    fn write(&mut self, now: Instant, mid: Mid, rids: &[Option<Rid>], video: bool, packet: DuePacket) {
        let Some(payload_type) = payload_type(&self.rtc, mid, video) else { return };
        let rid = rids.get(packet.layer).copied().flatten();
        let mut direct = self.rtc.direct_api();
        let Some(stream) = direct.stream_tx_by_mid(mid, rid) else { return };
        let level = packet.level.map(|level| -level.min(127).cast_signed());
        let extensions =
            ExtensionValues { audio_level: level, voice_activity: level.map(|_| true), ..Default::default() };
        let write = RtpWrite::new(
            payload_type,
            packet.seq.into(),
            packet.timestamp,
            now,
            Arc::<[u8]>::from(packet.payload),
        );
        stream.write_rtp(write.marker(packet.marker).nackable(video).ext_vals(extensions));
    }

    /// Feeds the engine one thing and drains it to rest: it holds a single received packet at a time.
    fn input(&mut self, now: Instant, input: Input<'_>) {
        if self.closed || self.failure.is_some() {
            return;
        }
        let result =
            self.rtc.handle_input(input).map_err(|error| anyhow!(error)).and_then(|()| self.drain(now));
        if let Err(error) = result {
            self.failure = Some(error.to_string());
        }
    }

    fn drain(&mut self, now: Instant) -> anyhow::Result<()> {
        for _ in 0..OUTPUT_BUDGET {
            match self.rtc.poll_output()? {
                Output::Timeout(at) if at <= now => self.rtc.handle_input(Input::Timeout(now))?,
                Output::Timeout(at) => {
                    self.timeout = at;
                    self.closed |= !self.rtc.is_alive();
                    return Ok(());
                }
                Output::Transmit(transmit) => self.transmits.push_back(Transmit {
                    destination: transmit.destination,
                    contents: transmit.contents.to_vec(),
                }),
                Output::Event(event) => self.handle_event(now, event),
            }
        }
        bail!("the engine does not come to rest")
    }

    fn handle_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Connected => {
                self.connected_at.get_or_insert(now);
                self.published.iter_mut().for_each(|section| section.source.start(now));
            }
            Event::IceConnectionStateChange(state) => self.ice = state,
            Event::KeyframeRequest(request) => {
                for section in self.published.iter_mut().filter(|section| section.mid == request.mid) {
                    if let Some(layer) = section.rids.iter().position(|rid| *rid == request.rid) {
                        section.source.request_keyframe(layer, now);
                    }
                }
            }
            Event::RtpPacket(packet) => self.receive(now, &packet),
            Event::RawPacket(packet) => {
                if let RawPacket::RtcpRx(Rtcp::Twcc(feedback)) = *packet {
                    self.take_feedback(now, feedback);
                }
            }
            Event::Closed => self.published.clear(),
            event => self.handle_channel_event(event),
        }
    }

    fn receive(&mut self, now: Instant, packet: &RtpPacket) {
        let at_nanos = self.nanos(now);
        let ssrc = *packet.header.ssrc;
        let Some(index) = self.index_of.get(&ssrc).copied().or_else(|| self.new_stream(ssrc)) else { return };
        let Some(stream) = self.streams.get_mut(index) else { return };
        stream.take(&Incoming {
            seq: *packet.seq_no,
            timestamp: packet.header.timestamp,
            payload: &packet.payload,
            at_nanos,
            at: now,
            keep_log: self.setup.keep_log,
        });
    }

    /// Times in feedback count from a moment that its sender has chosen.
    fn take_feedback(&mut self, zero: Instant, feedback: Twcc) {
        let last = self.feedback.last().map_or(0, |(number, _)| *number);
        let said = feedback.into_iter(zero, last.into());
        let came = said.filter_map(|(number, _, at)| Some((*number, at?.saturating_duration_since(zero))));
        self.feedback.extend(came);
    }

    fn new_stream(&mut self, ssrc: u32) -> Option<usize> {
        let mid = self.rtc.direct_api().stream_rx(&ssrc.into())?.mid();
        let video = self.rtc.media(mid)?.kind().is_video();
        self.streams.push(ReceivedStream::new(ssrc, mid.to_string(), video));
        self.index_of.insert(ssrc, self.streams.len() - 1);
        Some(self.streams.len() - 1)
    }

    fn nanos(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.setup.epoch).as_nanos()).unwrap_or(u64::MAX)
    }
}

fn kind_of(video: bool) -> MediaKind {
    if video { MediaKind::Video } else { MediaKind::Audio }
}

fn simulcast(media: &Media) -> Option<Simulcast> {
    let layers: Vec<SimulcastLayer> = media.rids().map(SimulcastLayer::new).collect();
    (!layers.is_empty()).then(|| Simulcast { send: layers, recv: Vec::new() })
}

/// The negotiated payload type of a section: the first of the codec that our sources imitate.
fn payload_type(rtc: &Rtc, mid: Mid, video: bool) -> Option<Pt> {
    let wanted = if video { Codec::Vp8 } else { Codec::Opus };
    let negotiated = rtc.media(mid)?.remote_pts();
    let known = rtc.codec_config().params().iter().filter(|params| params.spec().codec == wanted);
    known.map(str0m::format::PayloadParams::pt).find(|pt| negotiated.contains(pt))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an Instant has no other beginning; the test only adds to it")]
mod tests {
    use super::*;

    /// Two clients joined by a wire of 5 ms, in virtual time.
    struct Pair {
        base: Instant,
        now: Instant,
        ends: [Client; 2],
        wire: VecDeque<(Instant, usize, Vec<u8>)>,
    }

    const DELAY: Duration = Duration::from_millis(5);

    impl Pair {
        fn new() -> Self {
            let base = Instant::now();
            let ends = [1u16, 2].map(|port| {
                let address = SocketAddr::from(([10, 0, 0, 1], port));
                Client::new(
                    base,
                    ClientSetup { address, epoch: base, keep_log: true, credentials: None, repeats: true },
                )
                .unwrap()
            });
            Self { base, now: base, ends, wire: VecDeque::new() }
        }

        fn negotiate(&mut self, changes: &[Change<'_>]) -> Vec<String> {
            let [first, second] = &mut self.ends;
            let offer = first.create_offer(self.now, changes).unwrap();
            let answer = second.accept_offer(self.now, &offer.sdp).unwrap();
            first.accept_answer(self.now, &answer).unwrap();
            offer.mids
        }

        fn run_until(&mut self, until: Instant) {
            loop {
                for from in 0..2 {
                    while let Some(transmit) = self.ends[from].poll_transmit() {
                        self.wire.push_back((self.now + DELAY, 1 - from, transmit.contents));
                    }
                }
                let next = self.ends.iter().filter_map(Client::poll_timeout).min();
                let arrival = self.wire.front().map(|(at, ..)| *at);
                let Some(at) = next.into_iter().chain(arrival).min().filter(|at| *at <= until) else { break };
                self.now = self.now.max(at);
                while let Some((_, to, contents)) = self.wire.pop_front_if(|(at, ..)| *at <= self.now) {
                    let source = self.ends[1 - to].address();
                    self.ends[to].handle_datagram(self.now, source, &contents);
                }
                self.ends.iter_mut().for_each(|end| end.handle_timeout(self.now));
            }
            self.now = until;
        }
    }

    #[test]
    fn what_one_client_sends_the_other_receives_and_counts() {
        let mut pair = Pair::new();
        let (audio, video) = (Media::audio(), Media::video(30, 250, 1100));
        pair.negotiate(&[Change::Publish { id: 1, media: &audio }, Change::Publish { id: 2, media: &video }]);
        pair.run_until(pair.base + Duration::from_secs(3));
        let [sender, receiver] = &pair.ends;
        assert_eq!((sender.failure(), receiver.failure()), (None, None));
        assert!(receiver.connected_at().is_some());
        let sent: Vec<u64> =
            sender.published().iter().flat_map(|one| one.source.totals()).map(|one| one.packets).collect();
        assert_eq!(receiver.streams().len(), 2);
        for stream in receiver.streams() {
            let id = if stream.video { 2 } else { 1 };
            let reception = stream.source(id, 0).unwrap();
            let sent = sent[id as usize - 1];
            assert!(
                sent > 100 && sent - reception.counters.len() < 20,
                "{sent} {}",
                reception.counters.len()
            );
            assert_eq!((reception.counters.gaps(), stream.repeated(), stream.corrupt), (0, 0, 0));
            assert_eq!(stream.latency.max(), DELAY);
            assert_eq!(stream.log.len() as u64, stream.packets);
        }
    }

    #[test]
    fn a_keyframe_request_is_answered_by_the_next_frame() {
        let mut pair = Pair::new();
        let video = Media::video(30, 90, 300);
        pair.negotiate(&[Change::Publish { id: 2, media: &video }]);
        pair.run_until(pair.base + Duration::from_secs(2));
        let ssrc = pair.ends[1].streams()[0].ssrc;
        assert_eq!(pair.ends[1].streams()[0].source(2, 0).unwrap().keyframes, 1);
        pair.ends[1].request_keyframe(pair.now, ssrc);
        pair.run_until(pair.base + Duration::from_millis(2060));
        assert_eq!(pair.ends[1].streams()[0].source(2, 0).unwrap().keyframes, 2);
        assert_eq!(pair.ends[0].published()[0].source.totals().next().unwrap().keyframe_requests.len(), 1);
    }

    #[test]
    fn simulcast_layers_arrive_as_streams_of_their_own() {
        let mut pair = Pair::new();
        let layers = [("h", 120), ("l", 30)].map(|(rid, packets_per_second)| crate::source::Layer {
            rid: rid.to_owned(),
            packets_per_second,
        });
        let video = Media::Video { fps: 30, payload_bytes: 500, layers: layers.to_vec() };
        let mids = pair.negotiate(&[Change::Publish { id: 2, media: &video }]);
        pair.run_until(pair.base + Duration::from_secs(2));
        let streams = pair.ends[1].streams();
        assert_eq!(streams.len(), 2);
        assert!(streams.iter().all(|stream| stream.mid == mids[0]));
        assert!(streams.iter().any(|stream| stream.source(2, 0).is_some_and(|one| one.counters.len() > 150)));
        assert!(streams.iter().any(|stream| stream.source(2, 1).is_some_and(|one| one.counters.len() > 40)));
    }
}
