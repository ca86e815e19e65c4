//! What operators do to a running server: have it read its settings anew, and stop it.

use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use serde_json::json;

use super::diagnostics::{Kept, pair, until_media_flows};
use super::{APP, Peer, SECRET, Server, until};

const SECOND_SECRET: &str = "the-secret-of-the-second-app-of-enough-characters";

/// The settings of the test's application, and more.
fn settings(more: &str) -> String {
    format!("{more}\n[[apps]]\nid = \"{APP}\"\nsecrets = [\"{SECRET}\"]\n")
}

/// A server whose settings stand in a file.
fn start(file: &Kept, log: &Kept) -> Server {
    Server::launch(&["--config", file.path()], &[], log.write(), log.write())
}

fn opens(server: &Server, app: &str, secret: &str) -> u16 {
    let url = format!("{}/v1/apps/{app}/sessions/new", server.http);
    let request = server.agent.post(url).header("authorization", format!("Bearer {secret}"));
    request.send_empty().unwrap().status().as_u16()
}

fn is_ready(server: &Server) -> bool {
    server.agent.get(format!("{}/readyz", server.admin)).call().is_ok_and(|reply| reply.status() == 200)
}

/// Waits until DTLS was ended towards each of them.
fn until_told(peers: &mut [Peer]) {
    until("clients to be told", || {
        peers.iter_mut().for_each(Peer::turn);
        peers.iter().all(|peer| peer.client.is_closed())
    });
}

#[test]
fn settings_are_read_anew_on_a_hangup_and_no_call_ends() {
    let (file, log) = (Kept::new("settings"), Kept::new("hangup"));
    file.keep(&settings(""));
    let server = start(&file, &log);
    let mut calls = pair(&server, "before");
    assert_eq!(opens(&server, "second", SECOND_SECRET), 404);
    let second = format!("[[apps]]\nid = \"second\"\nsecrets = [\"{SECOND_SECRET}\"]\n");
    let more = "log = \"debug\"\n[media]\ngso = false\n[limits]\nsessions = 3\n";
    file.keep(&settings(&format!("{more}{second}")));
    server.signal("HUP");
    until("the second app", || opens(&server, "second", SECOND_SECRET) == 201);
    assert_eq!(opens(&server, APP, SECRET), 503, "there are as many sessions as there may be from now on");
    until("what takes a restart", || log.read().contains("take a restart, and stay as they were: media.gso"));
    until_media_flows(&mut calls);
    // A file that cannot be used changes nothing, and says why.
    file.keep("[limits]\nsesions = 5\n");
    server.signal("HUP");
    until("the reason", || log.read().contains("did you mean sessions?"));
    assert!(log.read().contains("the settings in force stay"), "{}", log.read());
    assert_eq!(opens(&server, "second", "wrong"), 401);
    assert_eq!(opens(&server, "second", SECOND_SECRET), 503);
    // A secret that is gone opens nothing more, and ends nothing.
    file.keep(&settings("log = \"debug\""));
    server.signal("HUP");
    until("the second app to be gone", || opens(&server, "second", SECOND_SECRET) == 404);
    assert_eq!(opens(&server, APP, SECRET), 201);
    assert_eq!(server.get("ext/sessions")["sessions"].as_array().unwrap().len(), 3);
    until_media_flows(&mut calls);
    until("lines of the level", || log.read().contains(" DEBUG ringcast"));
}

#[test]
fn a_hangup_ends_nothing_without_a_file_either() {
    let server = Server::start();
    let mut calls = pair(&server, "studio");
    server.signal("HUP");
    until_media_flows(&mut calls);
    assert!(is_ready(&server));
}

#[test]
fn every_client_and_listener_is_told_of_the_end() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start();
        let mut calls = pair(&server, "studio");
        let events = format!("{}{}/events", server.http, calls[1].path);
        let mut events = server.agent.get(events).call().unwrap();
        server.signal(signal);
        until_told(&mut calls);
        // It ends by itself, or this never returns.
        let _reset = events.body_mut().as_reader().read_to_end(&mut Vec::new());
        assert_eq!(server.status().code(), Some(0));
    }
}

#[test]
fn a_client_is_told_when_its_session_is_ended() {
    let server = Server::start();
    let mut calls = pair(&server, "studio");
    server.delete(&calls[0].path);
    until_told(&mut calls[..1]);
    assert!(!calls[1].client.is_closed());
}

#[test]
fn sessions_may_go_on_for_a_while_until_the_last_or_a_second_signal() {
    for second_signal in [false, true] {
        let (file, log) = (Kept::new("drain"), Kept::new("drain-log"));
        file.keep(&settings("drain_seconds = 3600"));
        let mut server = start(&file, &log);
        let mut calls = pair(&server, "studio");
        assert!(is_ready(&server));
        server.signal("TERM");
        // Asked for before, a session would still be opened, and be there for the hour.
        until("the word to balancers", || !is_ready(&server));
        assert_eq!(opens(&server, APP, SECRET), 503);
        until_media_flows(&mut calls);
        assert_eq!(server.get("ext/sessions")["sessions"].as_array().unwrap().len(), 2);
        if second_signal {
            server.signal("TERM");
        } else {
            calls.iter().for_each(|call| server.delete(&call.path));
        }
        until_told(&mut calls);
        assert_eq!(server.status().code(), Some(0), "{}", log.read());
    }
}

#[test]
fn the_service_manager_is_told_how_far_the_server_is() {
    let path = Kept::new("notify");
    let manager = UnixDatagram::bind(path.path()).unwrap();
    let variables = [("NOTIFY_SOCKET", path.path())];
    let app = format!("{APP}:{SECRET}");
    let mut server = Server::launch(&["--app", &app], &variables, Stdio::null(), Stdio::null());
    let told = || {
        let mut text = [0; 64];
        let length = manager.recv(&mut text).unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    };
    assert_eq!(told(), "READY=1");
    server.signal("TERM");
    assert_eq!(told(), "STOPPING=1");
    assert_eq!(server.status().code(), Some(0));
}

#[test]
fn a_command_line_that_cannot_be_used_ends_with_2_and_a_configuration_that_cannot_with_78() {
    let run = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_ringcast")).env_clear().args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = run(&["--shrads", "2"]);
    assert!(code == Some(2) && said.contains("--shards"), "{code:?}: {said}");
    let (code, said) = run(&["--listen", ":8080"]);
    assert!(code == Some(2) && said.contains("0.0.0.0:8080"), "{code:?}: {said}");
    let (code, said) = run(&["mint-token", "--app", &format!("{APP}:{SECRET}"), "--publish", "a,b"]);
    assert!(code == Some(2) && said.contains("give each name by itself"), "{code:?}: {said}");
    let file = Kept::new("listen");
    file.keep("[http]\nlisten = [\":8080\"]\n");
    let (code, said) = run(&["check-config", "--config", file.path()]);
    assert!(code == Some(78) && said.contains("0.0.0.0:8080"), "{code:?}: {said}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let holder = std::net::TcpListener::bind(&taken).unwrap();
    let (code, said) = run(&["--listen", &taken]);
    assert!(code == Some(1) && said.contains("--listen") && said.contains(&taken), "{code:?}: {said}");
    drop(holder);
}

/// Kubernetes sets such variables for every service of that name.
#[test]
fn a_server_starts_among_the_variables_of_a_container_platform() {
    let log = Kept::new("platform");
    let variables = [("RINGCAST_PORT", "tcp://10.0.0.1:80"), ("RINGCAST_SERVICE_HOST", "10.0.0.1")];
    let app = format!("{APP}:{SECRET}");
    let server = Server::launch(&["--app", &app], &variables, log.write(), log.write());
    assert_eq!(server.post("sessions/new", &json!({}))["sessionId"].as_str().map(str::len), Some(32));
    until("the warning", || log.read().contains("the variable RINGCAST_PORT is passed over"));
}
