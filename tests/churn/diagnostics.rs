//! What the server says, and that nobody who listens badly can stop it.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Instant;

use ringcast_bench::client::Change;
use ringcast_bench::source::Media;
use serde_json::{Value, json};

use super::{APP, Peer, Server, until, until_connected};

/// A publisher and a viewer of a stream, connected.
pub(super) fn pair(server: &Server, stream: &str) -> [Peer; 2] {
    let (epoch, media) = (Instant::now(), Media::audio());
    let publish = Change::Publish { id: 1, media: &media };
    let publisher = Peer::offer(server, epoch, &format!("/whip/{APP}/{stream}"), publish);
    let watch = Change::Receive { video: false };
    let mut pair = [publisher, Peer::offer(server, epoch, &format!("/whep/{APP}/{stream}"), watch)];
    until_connected(&mut pair);
    pair
}

/// Waits until the viewer has received more than it has.
pub(super) fn until_media_flows([publisher, viewer]: &mut [Peer; 2]) {
    let received = |viewer: &Peer| viewer.client.streams().iter().map(|stream| stream.packets).sum::<u64>();
    let before = received(viewer);
    until("media", || {
        publisher.turn();
        viewer.turn();
        received(viewer) > before + 5
    });
}

fn open_and_end(server: &Server, count: usize) {
    for _ in 0..count {
        let session = server.post("sessions/new?correlationId=one-of-many", &json!({}))["sessionId"].clone();
        server.delete(&format!("/v1/apps/{APP}/ext/sessions/{}", session.as_str().unwrap()));
    }
}

/// Calls go on and new ones come while every one of them wants to write to the log.
fn serves(server: &mut Server) {
    let mut early = pair(server, "early");
    open_and_end(server, 400);
    let mut late = pair(server, "late");
    until_media_flows(&mut early);
    until_media_flows(&mut late);
    server.delete(&late[0].path);
    until_media_flows(&mut early);
    server.signal("TERM");
    assert_eq!(server.status().code(), Some(0));
}

#[test]
fn a_log_whose_reader_has_gone_away_is_lost_and_nothing_else() {
    let mut server = Server::start_with(&["--log", "debug"], Stdio::piped(), Stdio::piped());
    drop((server.child.stdout.take(), server.child.stderr.take()));
    open_and_end(&server, 1);
    until("lost lines to be counted", || server.metric("ringcast_log_lines_lost_total") > 0.0);
    serves(&mut server);
}

#[test]
fn a_log_whose_reader_stands_still_makes_nobody_wait() {
    let mut server = Server::start_with(&["--log", "debug"], Stdio::piped(), Stdio::piped());
    // More than the pipe holds.
    open_and_end(&server, 400);
    serves(&mut server);
}

#[test]
fn a_log_on_a_full_disk_is_lost_and_nothing_else() {
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    let mut server = Server::start_with(&["--log", "debug"], full(), full());
    open_and_end(&server, 1);
    until("lost lines to be counted", || server.metric("ringcast_log_lines_lost_total") > 0.0);
    serves(&mut server);
}

/// A file, which ends with the test.
pub(super) struct Kept(String);

impl Kept {
    pub(super) fn new(name: &str) -> Self {
        let name = format!("ringcast-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(name).to_str().unwrap().to_owned())
    }

    pub(super) fn path(&self) -> &str {
        &self.0
    }

    pub(super) fn keep(&self, text: &str) {
        std::fs::write(&self.0, text).unwrap();
    }

    pub(super) fn write(&self) -> Stdio {
        File::options().append(true).create(true).open(&self.0).unwrap().into()
    }

    pub(super) fn read(&self) -> String {
        std::fs::read_to_string(&self.0).unwrap()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // It may never have been written.
        let _gone = std::fs::remove_file(&self.0);
    }
}

#[test]
fn the_end_of_a_session_is_one_line_that_says_whose_it_was_and_why() {
    let log = Kept::new("ends");
    let mut server = Server::start_with(&["--log-format", "json"], log.write(), log.write());
    let claims = json!({ "sub": "ann", "publish": ["*"], "ttl": 60 });
    let token = server.post("ext/tokens", &claims)["token"].as_str().unwrap().to_owned();
    let url = format!("{}/v1/apps/{APP}/sessions/new?correlationId=call-17", server.http);
    let request = server.agent.post(url).header("authorization", format!("Bearer {token}"));
    let mut reply = request.header("user-agent", "tester/1").send_empty().unwrap();
    let reply: Value = serde_json::from_str(&reply.body_mut().read_to_string().unwrap()).unwrap();
    let id = reply["sessionId"].as_str().unwrap();
    let entry = server.get("ext/sessions")["sessions"][0].clone();
    assert_eq!(entry["subject"], "ann");
    assert_eq!(entry["correlationId"], "call-17");
    assert_eq!(entry["userAgent"], "tester/1");
    server.delete(&format!("/v1/apps/{APP}/ext/sessions/{id}"));
    // A connection that comes up and is ended by its client is the daily course of things, and none of the engines'.
    let mut peers = pair(&server, "studio");
    let entries = server.get("ext/sessions")["sessions"].clone();
    for (peer, key) in peers.iter().zip(["publishesStreams", "watchesStream"]) {
        let entry =
            entries.as_array().unwrap().iter().find(|entry| !entry[key].is_null() && entry[key] != json!([]));
        let entry = entry.unwrap();
        assert!(entry[key] == "studio" || entry[key] == json!(["studio"]), "{entry}");
        assert_eq!(entry["remoteAddress"], peer.client.address().to_string());
        assert_eq!(entry["transport"], "udp");
    }
    for peer in &mut peers {
        peer.client.close(Instant::now());
        peer.turn();
    }
    server.signal("TERM");
    assert_eq!(server.status().code(), Some(0));
    let text = log.read();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for line in &lines {
        assert!(line["target"].as_str().is_some_and(|target| target.starts_with("ringcast")), "{line}");
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    }
    let ends: Vec<&Value> =
        lines.iter().filter(|line| line["message"] == "session ended" && line["session"] == id).collect();
    let [end] = ends[..] else { panic!("{text}") };
    assert_eq!(end["app"], APP);
    assert_eq!(end["subject"], "ann");
    assert_eq!(end["correlation"], "call-17");
    assert_eq!(end["reason"], "closed by request");
}

#[test]
fn a_log_that_is_no_terminal_has_no_colours() {
    let log = Kept::new("colours");
    let mut server = Server::start_with(&[], log.write(), log.write());
    open_and_end(&server, 1);
    server.signal("INT");
    assert_eq!(server.status().code(), Some(0));
    let text = log.read();
    assert!(text.contains("session ended") && !text.contains('\x1b'), "{text}");
}

#[test]
fn a_mistyped_level_is_refused_with_the_nearest_one() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_ringcast")).env_clear().args(["--log", "inof"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("did you mean info?"), "{said}");
}
