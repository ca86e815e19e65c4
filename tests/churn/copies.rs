//! What strangers send who have copied the checks of a client.

use std::net::UdpSocket;
use std::process::Stdio;
use std::time::{Duration, Instant};

use ringcast_bench::client::{Change, Transmit};
use ringcast_bench::source::Media;

use super::{APP, Peer, SECRET, Server, until, until_connected};

/// Copies that are sent in each test: one after the other, while media flows.
const COPIES: usize = 200;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(15);

/// A publisher of sound, a viewer of it, and the checks of the viewer.
struct Call {
    publisher: Peer,
    viewer: Peer,
    checks: Vec<Transmit>,
}

impl Call {
    fn begin(server: &Server, name: &str, id: u32) -> Self {
        let (epoch, media) = (Instant::now(), Media::audio());
        let publish = Change::Publish { id, media: &media };
        let publisher = Peer::offer(server, epoch, &format!("/whip/{APP}/{name}"), publish);
        let watch = Change::Receive { video: false };
        let viewer = Peer::offer(server, epoch, &format!("/whep/{APP}/{name}"), watch);
        Self { publisher, viewer, checks: Vec::new() }
    }

    fn turn(&mut self) {
        self.publisher.turn();
        let Self { viewer, checks, .. } = self;
        viewer.turn_and_see(&mut |transmit| {
            if transmit.contents.starts_with(&[0, 1]) {
                checks.push(transmit.clone());
            }
        });
    }

    /// How many packets have come, and how many between the first and the last have not.
    fn received(&self) -> (u64, u64) {
        let sources = self.viewer.client.streams().iter().flat_map(|stream| &stream.sources);
        sources.fold((0, 0), |sum, one| (sum.0 + one.counters.len(), sum.1 + one.counters.gaps()))
    }
}

/// A server with two calls, to which media flows. The shards have a port each, or one for both.
fn begin(flags: &[&str]) -> (Server, [Call; 2]) {
    let app = format!("{APP}:{SECRET}");
    let server =
        Server::start_with(&[&["--app", app.as_str()], flags].concat(), Stdio::null(), Stdio::null());
    let mut calls = [Call::begin(&server, "first", 1), Call::begin(&server, "second", 2)];
    for call in &mut calls {
        until_connected(std::slice::from_mut(&mut call.publisher));
        until_connected(std::slice::from_mut(&mut call.viewer));
    }
    until("media and checks of both", || {
        calls.iter_mut().for_each(Call::turn);
        calls.iter().all(|call| call.received().0 > 100 && call.checks.len() > 1)
    });
    (server, calls)
}

/// Sends copies of the checks of the second viewer by way of a socket while both calls go on, and then lets them go on for
/// a while.
fn copy_by(calls: &mut [Call; 2], mut send: impl FnMut(&[Call; 2], &Transmit)) {
    let copies = calls[1].checks.clone();
    for copy in copies.iter().cycle().take(COPIES) {
        send(calls, copy);
        let next = Instant::now() + PAUSE;
        while Instant::now() < next {
            calls.iter_mut().for_each(Call::turn);
        }
    }
    let before = calls.each_ref().map(|call| call.received().0);
    until("media to go on", || {
        calls.iter_mut().for_each(Call::turn);
        calls.iter().zip(before).all(|(call, before)| call.received().0 > before + 50)
    });
}

#[test]
fn copied_checks_take_no_media_to_where_they_come_from() {
    for flags in [&[][..], &["--single-port"]] {
        let (_server, mut calls) = begin(flags);
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        stranger.set_nonblocking(true).unwrap();
        copy_by(&mut calls, |_, copy| {
            stranger.send_to(&copy.contents, copy.destination).unwrap();
        });
        let (mut buffer, mut kinds) = ([0; 2048], Vec::new());
        while let Ok(len) = stranger.recv(&mut buffer) {
            assert!(len > 0);
            kinds.push(buffer[0]);
        }
        assert!(kinds.len() > COPIES / 2, "they are answered as checks are: {}", kinds.len());
        assert!(kinds.iter().all(|first| *first < 4), "{flags:?}: media or a handshake went to a stranger");
        for call in &calls {
            assert_eq!(call.received().1, 0, "{flags:?}");
        }
    }
}

#[test]
fn copied_checks_take_no_address_from_who_is_there() {
    for flags in [&[][..], &["--single-port"]] {
        let (server, mut calls) = begin(flags);
        copy_by(&mut calls, |calls, copy| {
            calls[0].viewer.socket.send_to(&copy.contents, copy.destination).unwrap();
        });
        for call in &calls {
            assert_eq!(call.received().1, 0, "{flags:?}");
            assert!(call.viewer.client.is_ice_connected());
        }
        // With a port for each shard, the address at the other port is nobody's.
        if !flags.is_empty() {
            let held = || server.metric("ringcast_dropped_total{reason=\"held_address\"}");
            until("what came of the copies", || held() >= COPIES as f64 / 2.0);
        }
    }
}
