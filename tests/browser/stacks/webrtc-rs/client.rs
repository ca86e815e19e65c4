//! webrtc-rs: a WebRTC client that is no browser, until its input ends. It prints a line for what it does and receives.
//!
//! Its roles and what it reads are those of `../pion/main.go`. It is no part of the workspace: `run` builds it.

use std::io::BufRead;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rtc::media::Sample;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelInit};
use webrtc::error::Result;
use webrtc::media_stream::MediaStreamTrack;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_sample::TrackLocalStaticSample;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder,
    RTCIceGatheringState, RTCPeerConnectionState, RTCSessionDescription, Registry,
    register_default_interceptors,
};
use webrtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit, RtpTransceiver};
use webrtc::runtime::default_runtime;

fn say(what: Value) {
    println!("{what}");
}

/// One call of HTTP: the `Location` and the body of what came back.
fn call(method: &str, url: &str, secret: &str, kind: &str, body: String) -> (String, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = ureq::http::Request::builder().method(method).uri(url);
    let request = request.header("Authorization", format!("Bearer {secret}")).header("Content-Type", kind);
    let mut response = agent.run(request.body(body).unwrap()).unwrap();
    let location = response.headers().get("Location").map(|value| value.to_str().unwrap().to_owned());
    let reply = response.body_mut().read_to_string().unwrap();
    let status = response.status().as_u16();
    assert!(status < 300 && !reply.contains("\"errorCode\""), "{method} {url}: {status} {reply}");
    (location.unwrap_or_default(), reply)
}

/// What the connection tells.
struct Told {
    gathered: watch::Sender<bool>,
    channels: mpsc::UnboundedSender<Arc<dyn DataChannel>>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Told {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        self.gathered.send_replace(state == RTCIceGatheringState::Complete);
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        say(json!({ "state": state.to_string() }));
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        let _ = self.channels.send(channel);
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        tokio::spawn(watch(track));
    }
}

/// Counts what is received: whole frames of video and the size of its picture, packets of audio.
async fn watch(track: Arc<dyn TrackRemote>) {
    let is_audio = track.kind().await == RtpCodecKind::Audio;
    let (mut count, mut size) = (0, (0, 0));
    while let Some(event) = track.poll().await {
        let TrackRemoteEvent::OnRtpPacket(packet) = event else { continue };
        let codec = track.codec(packet.header.ssrc).await.map(|codec| codec.mime_type);
        if is_audio {
            count += 1;
            if count % 25 == 0 {
                say(json!({ "kind": "audio", "frames": count, "codec": codec }));
            }
            continue;
        }
        size = keyframe_size(&packet.payload).unwrap_or(size);
        if packet.header.marker {
            count += 1;
            let (width, height) = size;
            say(json!({
                "kind": "video", "frames": count, "width": width, "height": height, "codec": codec
            }));
        }
    }
}

/// The size that a keyframe of VP8 tells (RFC 7741 4.2, RFC 6386 9.1).
fn keyframe_size(payload: &[u8]) -> Option<(u16, u16)> {
    let first = *payload.first()?;
    let mut at = 1;
    if first & 0x80 != 0 {
        let more = *payload.get(at)?;
        at += 1;
        if more & 0x80 != 0 {
            at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
        }
        at += usize::from(more & 0x40 != 0) + usize::from(more & 0x30 != 0);
    }
    let frame = payload.get(at..at + 10)?;
    let is_keyframe = first & 0x1f == 0x10 && frame[0] & 1 == 0;
    let number = |at: usize| u16::from_le_bytes([frame[at], frame[at + 1]]) & 0x3fff;
    is_keyframe.then(|| (number(6), number(8)))
}

struct Client {
    pc: Arc<dyn PeerConnection>,
    gathered: watch::Receiver<bool>,
    opened: mpsc::UnboundedReceiver<Arc<dyn DataChannel>>,
    base: String,
    secret: String,
    session: String,
}

impl Client {
    async fn new(base: &str, secret: &str) -> Result<Self> {
        let (gathered_by, gathered) = watch::channel(false);
        let (channels, opened) = mpsc::unbounded_channel();
        let mut engine = MediaEngine::default();
        engine.register_default_codecs()?;
        let registry = register_default_interceptors(Registry::new(), &mut engine)?;
        let pc = PeerConnectionBuilder::new()
            .with_configuration(RTCConfigurationBuilder::new().build())
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .with_handler(Arc::new(Told { gathered: gathered_by, channels }))
            .with_runtime(default_runtime().unwrap())
            .with_udp_addrs(vec!["127.0.0.1:0"])
            .build()
            .await?;
        let (base, secret) = (base.to_owned(), secret.to_owned());
        Ok(Self { pc: Arc::new(pc), gathered, opened, base, secret, session: String::new() })
    }

    fn api(&self, method: &str, path: &str, body: Value) -> Value {
        let url = format!("{}/{path}", self.base);
        let (_, reply) = call(method, &url, &self.secret, "application/json", body.to_string());
        serde_json::from_str(&reply).unwrap()
    }

    fn sessions(&self, method: &str, path: &str, body: Value) -> Value {
        self.api(method, &format!("sessions/{}/{path}", self.session), body)
    }

    fn new_session(&mut self) {
        self.session = self.api("POST", "sessions/new", json!({}))["sessionId"].as_str().unwrap().to_owned();
    }

    /// Our own description, with all candidates in it.
    async fn local(&mut self, made: RTCSessionDescription) -> Result<String> {
        self.pc.set_local_description(made).await?;
        self.gathered.wait_for(|done| *done).await.unwrap();
        Ok(self.pc.local_description().await.unwrap().sdp)
    }

    async fn offer(&mut self) -> Result<String> {
        let made = self.pc.create_offer(None).await?;
        self.local(made).await
    }

    async fn take_answer(&self, sdp: &str) -> Result<()> {
        self.pc.set_remote_description(RTCSessionDescription::answer(sdp.to_owned())?).await
    }

    /// Takes the offer of a reply, and answers it.
    async fn answer(&mut self, offered: &Value) -> Result<()> {
        let offer = offered["sessionDescription"]["sdp"].as_str().unwrap().to_owned();
        self.pc.set_remote_description(RTCSessionDescription::offer(offer)?).await?;
        let made = self.pc.create_answer(None).await?;
        let answer = self.local(made).await?;
        let described = json!({ "sessionDescription": { "type": "answer", "sdp": answer } });
        self.sessions("PUT", "renegotiate", described);
        say(json!({ "setup": answer.lines().find_map(|line| line.strip_prefix("a=setup:")).unwrap() }));
        Ok(())
    }

    async fn add_source(&self, kind: RtpCodecKind, codec: RTCRtpCodec, ssrc: u32) -> Result<Source> {
        let encoding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() },
            codec: codec.clone(),
            ..Default::default()
        };
        let name = kind.to_string();
        let described = MediaStreamTrack::new("webrtc-rs".into(), name.clone(), name, kind, vec![encoding]);
        let track = Arc::new(TrackLocalStaticSample::new(Instant::now(), described)?);
        let way = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Sendonly,
            streams: vec![],
            send_encodings: vec![],
        };
        let shared: Arc<dyn TrackLocal> = track.clone();
        let transceiver = self.pc.add_transceiver_from_track(shared, Some(way)).await?;
        Ok(Source { transceiver, track, codec, ssrc })
    }

    /// What the first line of the input holds, and what sends it.
    async fn add_sources(&self, input: &mut mpsc::UnboundedReceiver<Value>) -> Result<[(Source, Value); 2]> {
        let frames = input.recv().await.unwrap();
        let codec = |mime_type: &str, clock_rate, channels| RTCRtpCodec {
            mime_type: mime_type.to_owned(),
            clock_rate,
            channels,
            ..Default::default()
        };
        let video = self.add_source(RtpCodecKind::Video, codec("video/VP8", 90_000, 0), 1111).await?;
        let audio = self.add_source(RtpCodecKind::Audio, codec("audio/opus", 48_000, 2), 2222).await?;
        Ok([(video, frames["video"].clone()), (audio, frames["audio"].clone())])
    }

    async fn publish(&mut self, input: &mut mpsc::UnboundedReceiver<Value>) -> Result<()> {
        let sources = self.add_sources(input).await?;
        self.new_session();
        let offer = self.offer().await?;
        let mut tracks = Vec::new();
        for ((source, _), name) in sources.iter().zip(["camera", "microphone"]) {
            let mid = source.transceiver.mid().await?;
            tracks.push(json!({ "location": "local", "mid": mid, "trackName": name }));
        }
        let body = json!({ "sessionDescription": { "type": "offer", "sdp": offer }, "tracks": tracks });
        let reply = self.sessions("POST", "tracks/new", body);
        self.take_answer(reply["sessionDescription"]["sdp"].as_str().unwrap()).await?;
        say(json!({ "sessionId": self.session }));
        begin(sources);
        Ok(())
    }

    async fn view(&mut self, publisher: &str, names: &[String]) -> Result<()> {
        self.new_session();
        say(json!({ "sessionId": self.session }));
        // One call per track: the second one changes a connection that is up.
        for name in names {
            let track = json!({ "location": "remote", "sessionId": publisher, "trackName": name });
            let reply = self.sessions("POST", "tracks/new", json!({ "tracks": [track] }));
            self.answer(&reply).await?;
        }
        Ok(())
    }

    async fn channels(&mut self, other: &str, name: &str, theirs: &str) -> Result<Arc<dyn DataChannel>> {
        self.new_session();
        let events = json!({ "location": "remote", "dataChannelName": "server-events" });
        let reply = self.sessions("POST", "datachannels/establish", json!({ "dataChannel": events }));
        self.answer(&reply).await?;
        self.opened.recv().await.unwrap();
        let mine = self.channel(json!({ "location": "local", "dataChannelName": name })).await?;
        self.channel(json!({ "location": "remote", "dataChannelName": theirs, "sessionId": other })).await?;
        say(json!({ "sessionId": self.session, "open": true }));
        Ok(mine)
    }

    async fn channel(&self, wish: Value) -> Result<Arc<dyn DataChannel>> {
        let reply = self.sessions("POST", "datachannels/new", json!({ "dataChannels": [wish] }));
        let id = reply["dataChannels"][0]["id"].as_u64().unwrap() as u16;
        let agreed = RTCDataChannelInit { negotiated: Some(id), ordered: true, ..Default::default() };
        let name = wish["dataChannelName"].as_str().unwrap();
        let made = self.pc.create_data_channel(name, Some(agreed)).await?;
        let channel = Arc::clone(&made);
        tokio::spawn(async move {
            while let Some(event) = channel.poll().await {
                let DataChannelEvent::OnMessage(got) = event else { continue };
                match got.is_string {
                    true => say(json!({ "text": String::from_utf8_lossy(&got.data) })),
                    false => say(json!({ "bytes": got.data.len() })),
                }
            }
        });
        Ok(made)
    }

    /// The one exchange of WHIP and WHEP; returns the address of the resource.
    async fn by_offer(&mut self, url: &str) -> Result<String> {
        let offer = self.offer().await?;
        let (location, answer) = call("POST", url, &self.secret, "application/sdp", offer);
        self.take_answer(&answer).await?;
        let host = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        Ok(if location.starts_with('/') { host + &location } else { location })
    }
}

struct Source {
    transceiver: Arc<dyn RtpTransceiver>,
    track: Arc<TrackLocalStaticSample>,
    codec: RTCRtpCodec,
    ssrc: u32,
}

impl Source {
    async fn send(self, frames: Value, each: Duration) -> Result<()> {
        let sender = self.transceiver.sender().await?.unwrap();
        let codecs = sender.get_parameters().await?.rtp_parameters.codecs;
        let codec = codecs.iter().find(|codec| codec.rtp_codec.mime_type == self.codec.mime_type).unwrap();
        let frames =
            frames.as_array().unwrap().iter().map(|frame| STANDARD.decode(frame.as_str().unwrap()).unwrap());
        let mut ticks = tokio::time::interval(each);
        for frame in frames.collect::<Vec<_>>().into_iter().cycle() {
            ticks.tick().await;
            let sample = Sample { data: frame.into(), duration: each, ..Sample::new(Instant::now()) };
            self.track.sample_writer(self.ssrc, codec.payload_type).write_sample(&sample).await?;
        }
        Ok(())
    }
}

fn begin(sources: [(Source, Value); 2]) {
    for ((source, frames), a_second) in sources.into_iter().zip([15, 50]) {
        tokio::spawn(async move {
            if let Err(error) = source.send(frames, Duration::from_secs(1) / a_second).await {
                eprintln!("{error}");
                std::process::exit(1);
            }
        });
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [role, url, secret, rest @ ..] = &arguments[..] else { panic!("ROLE URL SECRET ...") };
    let (lines, mut input) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let _ = lines.send(serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        }
    });
    let mut client = Client::new(url, secret).await?;
    let (mut channel, mut resource) = (None, None);
    match (role.as_str(), rest) {
        ("publish", []) => client.publish(&mut input).await?,
        ("view", [publisher, names @ ..]) => client.view(publisher, names).await?,
        ("channels", [other, name, theirs]) => channel = Some(client.channels(other, name, theirs).await?),
        ("whip", []) => {
            let sources = client.add_sources(&mut input).await?;
            resource = Some(client.by_offer(url).await?);
            begin(sources);
        }
        ("whep", []) => {
            for kind in [RtpCodecKind::Video, RtpCodecKind::Audio] {
                let way = RTCRtpTransceiverInit {
                    direction: RTCRtpTransceiverDirection::Recvonly,
                    streams: vec![],
                    send_encodings: vec![],
                };
                client.pc.add_transceiver_from_kind(kind, Some(way)).await?;
            }
            resource = Some(client.by_offer(url).await?);
        }
        _ => panic!("no such role: {role}"),
    }
    while let Some(wish) = input.recv().await {
        let channel = channel.as_ref().unwrap();
        match wish["text"].as_str() {
            Some(text) => channel.send_text(text).await?,
            None => channel.send(vec![0; wish["bytes"].as_u64().unwrap() as usize].as_slice().into()).await?,
        }
    }
    if let Some(resource) = resource {
        call("DELETE", &resource, secret, "application/sdp", String::new());
    }
    client.pc.close().await
}
