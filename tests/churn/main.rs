//! A real server as a process: what clients that come and go have used is given back, what operators do to it, and what
//! strangers do.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test may fail loudly, and real sockets run in real time"
)]

mod copies;
mod diagnostics;
mod signals;

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ringcast_bench::client::{Change, Client, ClientSetup, Transmit};
use ringcast_bench::source::Media;
use serde_json::{Value, json};

const APP: &str = "0123456789abcdef0123456789abcdef";
const SECRET: &str = "a-secret-of-the-test-of-enough-characters";
/// Sessions that are there at a time.
const WAVE: usize = 50;
/// Waves until every table and arena of the server has met its load.
const WARM_UP: usize = 8;
/// Waves that are counted: 2,000 sessions.
const COUNTED: usize = 40;
/// Streams by WHIP that are there at a time, each with one viewer by WHEP.
const STREAMS: usize = 10;
/// Waves of streams until every table has met its load, and those that are counted: 200 streams.
const STREAM_WAVES: [usize; 2] = [4, 20];
/// What may remain without being a leak: a session takes well over 50 KB, so 2,000 of them would be 100 MB.
const MEMORY_SLACK_KB: u64 = 12 * 1024;

struct Server {
    child: Child,
    http: String,
    admin: String,
    agent: ureq::Agent,
}

impl Server {
    fn start() -> Self {
        let mut server = Self::start_with(&[], Stdio::piped(), Stdio::null());
        // The pipe is read for as long as it is open.
        let output = BufReader::new(server.child.stdout.take().unwrap());
        std::thread::spawn(move || output.lines().for_each(drop));
        server
    }

    /// With more flags, and with other places for what it says. A pipe that is not taken from the child is not read.
    fn start_with(flags: &[&str], output: Stdio, errors: Stdio) -> Self {
        let app = format!("{APP}:{SECRET}");
        Self::launch(&[&["--app", &app], flags].concat(), &[], output, errors)
    }

    /// The same with variables, and without an application.
    fn launch(flags: &[&str], variables: &[(&str, &str)], output: Stdio, errors: Stdio) -> Self {
        let [http, admin] = [free_port(), free_port()];
        let child = Command::new(env!("CARGO_BIN_EXE_ringcast"))
            .env_clear()
            .envs(variables.iter().copied())
            .args(["--listen", &http, "--admin", &admin])
            .args(["--media-address", "127.0.0.1", "--media-port", &media_port(), "--shards", "2"])
            .args(flags)
            .stdout(output)
            .stderr(errors)
            .spawn()
            .unwrap();
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let server = Self {
            child,
            http: format!("http://{http}"),
            admin: format!("http://{admin}"),
            agent: config.into(),
        };
        let ready = || server.agent.get(format!("{}/readyz", server.admin)).call();
        until("the server to be ready", || ready().is_ok_and(|reply| reply.status() == 200));
        server
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}/v1/apps/{APP}/{path}", self.http);
        let request = self.agent.post(url).header("authorization", format!("Bearer {SECRET}"));
        let mut reply = request.send(body.to_string()).unwrap();
        let text = reply.body_mut().read_to_string().unwrap();
        assert!(reply.status().is_success(), "{path}: {} {text}", reply.status());
        serde_json::from_str(&text).unwrap()
    }

    /// Offers to a stream. Returns where its resource is, and the answer.
    fn offer(&self, path: &str, sdp: &str) -> (String, String) {
        let request = self.agent.post(format!("{}{path}", self.http));
        let request = request.header("authorization", format!("Bearer {SECRET}"));
        let mut reply = request.header("content-type", "application/sdp").send(sdp).unwrap();
        let text = reply.body_mut().read_to_string().unwrap();
        assert_eq!(reply.status(), 201, "{path}: {text}");
        (reply.headers()["location"].to_str().unwrap().to_owned(), text)
    }

    fn delete(&self, path: &str) {
        let url = format!("{}{path}", self.http);
        let reply =
            self.agent.delete(url).header("authorization", format!("Bearer {SECRET}")).call().unwrap();
        assert!(reply.status().is_success(), "{path}: {}", reply.status());
    }

    /// The sum of a metric over its labels, or the one that stands in the name.
    fn metric(&self, name: &str) -> f64 {
        let mut reply = self.agent.get(format!("{}/metrics", self.admin)).call().unwrap();
        let text = reply.body_mut().read_to_string().unwrap();
        let is_meant = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let lines = text.lines().filter(is_meant);
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    fn get(&self, path: &str) -> Value {
        let url = format!("{}/v1/apps/{APP}/{path}", self.http);
        let request = self.agent.get(url).header("authorization", format!("Bearer {SECRET}"));
        serde_json::from_str(&request.call().unwrap().body_mut().read_to_string().unwrap()).unwrap()
    }

    /// Sends a signal, by its name.
    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success(), "kill -{name}");
    }

    /// Waits for its end.
    fn status(&mut self) -> std::process::ExitStatus {
        let mut status = None;
        until("the server to end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    fn memory_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing more to do then.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// The first of two free neighbouring UDP ports, one for each shard.
fn media_port() -> String {
    (0..100)
        .find_map(|_| {
            let first = UdpSocket::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
            let second = UdpSocket::bind(("127.0.0.1", first.checked_add(1)?));
            second.is_ok().then(|| first.to_string())
        })
        .unwrap()
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "waited for {what} in vain");
        std::thread::yield_now();
    }
}

struct Peer {
    client: Client,
    socket: UdpSocket,
    /// What ends it when it is deleted.
    path: String,
}

/// A client at a port of its own.
fn client(epoch: Instant) -> (Client, UdpSocket) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address: SocketAddr = socket.local_addr().unwrap();
    let setup = ClientSetup { address, epoch, keep_log: false, credentials: None, repeats: false };
    (Client::new(epoch, setup).unwrap(), socket)
}

impl Peer {
    /// Opens a session that publishes sound.
    fn join(server: &Server, epoch: Instant, id: u32) -> Self {
        let (mut client, socket) = client(epoch);
        let session = server.post("sessions/new", &json!({}))["sessionId"].as_str().unwrap().to_owned();
        let offer = client.create_offer(epoch, &[Change::Publish { id, media: &Media::audio() }]).unwrap();
        let body = json!({
            "sessionDescription": { "type": "offer", "sdp": offer.sdp },
            "tracks": [{ "location": "local", "mid": offer.mids[0], "trackName": "microphone" }],
        });
        let reply = server.post(&format!("sessions/{session}/tracks/new"), &body);
        client.accept_answer(Instant::now(), reply["sessionDescription"]["sdp"].as_str().unwrap()).unwrap();
        Self { client, socket, path: format!("/v1/apps/{APP}/ext/sessions/{session}") }
    }

    /// Publishes to a stream by WHIP, or watches it by WHEP.
    fn offer(server: &Server, epoch: Instant, path: &str, change: Change<'_>) -> Self {
        let (mut client, socket) = client(epoch);
        let offer = client.create_offer(epoch, &[change]).unwrap();
        let (path, answer) = server.offer(path, &offer.sdp);
        client.accept_answer(Instant::now(), &answer).unwrap();
        Self { client, socket, path }
    }

    fn turn(&mut self) {
        self.turn_and_see(&mut |_| ());
    }

    /// The same, and shows what it sends.
    fn turn_and_see(&mut self, see: &mut dyn FnMut(&Transmit)) {
        let mut buffer = [0; 2048];
        while let Ok((len, source)) = self.socket.recv_from(&mut buffer) {
            self.client.handle_datagram(Instant::now(), source, &buffer[..len]);
        }
        let now = Instant::now();
        if self.client.poll_timeout().is_some_and(|at| at <= now) {
            self.client.handle_timeout(now);
        }
        while let Some(transmit) = self.client.poll_transmit() {
            see(&transmit);
            // A datagram that the kernel does not take is lost, as on any way.
            let _lost = self.socket.send_to(&transmit.contents, transmit.destination);
        }
    }
}

fn until_connected(peers: &mut [Peer]) {
    until("a wave to connect", || {
        peers.iter_mut().for_each(Peer::turn);
        peers.iter().all(|peer| peer.client.connected_at().is_some())
    });
}

/// Streams with a viewer each, who is told of events; every other viewer waits for its stream. Where only one of the two
/// goes first, the other is left alone for a moment.
fn wave_of_streams(server: &Server, number: usize) {
    let epoch = Instant::now();
    let media = Media::audio();
    // Its connections end with the wave.
    let listeners: ureq::Agent = ureq::Agent::config_builder().build().into();
    let mut events = Vec::new();
    let (mut publishers, mut viewers) = (Vec::new(), Vec::new());
    for index in 0..STREAMS {
        let change = Change::Publish { id: u32::try_from(index).unwrap(), media: &media };
        let publish = || Peer::offer(server, epoch, &format!("/whip/{APP}/stream-{index}"), change);
        let waits = index.is_multiple_of(2);
        if !waits {
            publishers.push(publish());
        }
        let watch = Change::Receive { video: false };
        let viewer = Peer::offer(server, epoch, &format!("/whep/{APP}/stream-{index}"), watch);
        events.push(listeners.get(format!("{}{}/events", server.http, viewer.path)).call().unwrap());
        viewers.push(viewer);
        if waits {
            publishers.push(publish());
        }
    }
    until_connected(&mut publishers);
    until_connected(&mut viewers);
    let (first, second) =
        if number.is_multiple_of(2) { (&publishers, &viewers) } else { (&viewers, &publishers) };
    first.iter().chain(second).for_each(|peer| server.delete(&peer.path));
    assert_eq!(server.get("ext/streams"), json!({ "streams": [] }));
}

fn wave(server: &Server, number: usize) {
    let epoch = Instant::now();
    let mut peers: Vec<Peer> =
        (0..WAVE).map(|id| Peer::join(server, epoch, u32::try_from(id).unwrap())).collect();
    until_connected(&mut peers);
    for peer in &mut peers {
        // Every other wave says farewell before its sessions are ended.
        if number.is_multiple_of(2) {
            peer.client.close(Instant::now());
            peer.turn();
        }
        server.delete(&peer.path);
    }
}

/// Waits until the server has counted so many handshakes and holds nothing of them. Shards report from
/// time to time: without the first, an empty report may be one from between two waves.
fn until_empty(server: &Server, handshakes: usize) {
    until("every handshake to be counted", || {
        server.metric("ringcast_handshakes_total") >= handshakes as f64
    });
    for gauge in
        ["ringcast_sessions", "ringcast_publications", "ringcast_subscriptions", "ringcast_addresses"]
    {
        until(gauge, || server.metric(gauge) == 0.0);
    }
}

#[test]
fn two_thousand_sessions_leave_memory_descriptors_and_tables_as_they_were() {
    let server = Server::start();
    (0..WARM_UP).for_each(|number| wave(&server, number));
    until_empty(&server, WARM_UP * WAVE);
    let (descriptors, memory) = (server.descriptors(), server.memory_kb());
    (0..COUNTED).for_each(|number| wave(&server, number));
    until_empty(&server, (WARM_UP + COUNTED) * WAVE);
    let (descriptors_after, memory_after) = (server.descriptors(), server.memory_kb());
    println!("descriptors {descriptors} -> {descriptors_after}, memory {memory} -> {memory_after} KB");
    assert_eq!(descriptors_after, descriptors);
    assert!(memory_after <= memory + MEMORY_SLACK_KB, "memory rose from {memory} to {memory_after} KB");
}

#[test]
fn two_hundred_streams_by_whip_and_whep_leave_nothing_behind() {
    let server = Server::start();
    let [warm_up, counted] = STREAM_WAVES;
    (0..warm_up).for_each(|number| wave_of_streams(&server, number));
    until_empty(&server, warm_up * STREAMS * 2);
    // Connections of events end some time after their listeners.
    let mut descriptors = server.descriptors();
    until("connections of events to end", || {
        std::thread::sleep(Duration::from_millis(200));
        let before = std::mem::replace(&mut descriptors, server.descriptors());
        descriptors == before
    });
    let memory = server.memory_kb();
    (0..counted).for_each(|number| wave_of_streams(&server, number));
    until_empty(&server, (warm_up + counted) * STREAMS * 2);
    until("descriptors to be as before", || server.descriptors() == descriptors);
    let memory_after = server.memory_kb();
    println!("{descriptors} descriptors, memory {memory} -> {memory_after} KB");
    assert!(memory_after <= memory + MEMORY_SLACK_KB, "memory rose from {memory} to {memory_after} KB");
}
