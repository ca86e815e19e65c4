#!/bin/bash
# sctp-proto 0.10.8 (crates.io, below str0m's data channels) loses all that follows an empty message.
#
# RFC 8831 6.6 has payload protocols for empty messages, and the library names them. Written with one of those, or with any other,
# a message without bytes counts as written: no chunk leaves, and yet it takes a stream sequence number (RFC 9260 6.5). The far end
# waits for that number for ever, so an ordered stream gives nothing out any more, while its data is acknowledged. RFC 8831's
# way, one byte that is ignored, has to be the caller's.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/src"
cat >"$dir/Cargo.toml" <<'END'
[package]
name = "shows"
version = "0.0.0"
edition = "2021"
[dependencies]
sctp-proto = "=0.10.8"
bytes = "1"
END
cat >"$dir/src/main.rs" <<'END'
use sctp_proto::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event, Payload,
    PayloadProtocolIdentifier, ServerConfig, StreamEvent,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Side {
    endpoint: Endpoint,
    association: Option<(AssociationHandle, Association)>,
    address: SocketAddr,
    connected: bool,
    heard: Vec<String>,
}

impl Side {
    fn new(server: Option<ServerConfig>, port: u16) -> Self {
        let endpoint = Endpoint::new(Arc::new(EndpointConfig::new()), server.map(Arc::new));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Self { endpoint, association: None, address, connected: false, heard: Vec::new() }
    }

    fn take(&mut self, from: SocketAddr, data: bytes::Bytes, now: Instant) {
        match self.endpoint.handle(now, from, None, None, data) {
            Some((handle, DatagramEvent::NewAssociation(new))) => self.association = Some((handle, new)),
            Some((_, DatagramEvent::AssociationEvent(event))) => {
                self.association.as_mut().unwrap().1.handle_event(event);
            }
            None => {}
        }
    }

    fn run(&mut self, now: Instant) -> Vec<bytes::Bytes> {
        let mut out = Vec::new();
        while let Some(transmit) = self.endpoint.poll_transmit() {
            if let Payload::RawEncode(all) = transmit.payload {
                out.extend(all);
            }
        }
        let Some((_, association)) = &mut self.association else { return out };
        association.handle_timeout(now);
        while let Some(event) = association.poll() {
            match event {
                Event::Connected => self.connected = true,
                Event::Stream(StreamEvent::Readable { id }) => {
                    while let Ok(Some(chunks)) = association.stream(id).and_then(|mut stream| stream.read()) {
                        let mut text = vec![0; chunks.len()];
                        chunks.read(&mut text).unwrap();
                        self.heard.push(String::from_utf8(text).unwrap());
                    }
                }
                _ => {}
            }
        }
        while let Some(transmit) = association.poll_transmit(now) {
            if let Payload::RawEncode(all) = transmit.payload {
                out.extend(all);
            }
        }
        out
    }
}

/// What the far end hears of these messages, sent in order on one stream.
fn heard(messages: &[(&str, PayloadProtocolIdentifier)]) -> Vec<String> {
    let mut now = Instant::now();
    let (mut client, mut server) = (Side::new(None, 1), Side::new(Some(ServerConfig::new()), 2));
    client.association = Some(client.endpoint.connect(ClientConfig::new(), server.address).unwrap());
    let mut written = false;
    for _ in 0..500 {
        now += Duration::from_millis(20);
        for data in client.run(now) {
            server.take(client.address, data, now);
        }
        for data in server.run(now) {
            client.take(server.address, data, now);
        }
        if client.connected && !written {
            written = true;
            let association = &mut client.association.as_mut().unwrap().1;
            let mut stream = association.open_stream(1, PayloadProtocolIdentifier::String).unwrap();
            for (text, protocol) in messages {
                assert_eq!(stream.write_with_ppi(text.as_bytes(), *protocol), Ok(text.len()));
            }
        }
    }
    server.heard
}

fn main() {
    let (text, empty) = (PayloadProtocolIdentifier::String, PayloadProtocolIdentifier::StringEmpty);
    println!("one, two: heard {:?}", heard(&[("one", text), ("two", text)]));
    println!("one, nothing, two: heard {:?}", heard(&[("one", text), ("", empty), ("two", text)]));
    println!("one, a byte that is ignored, two: heard {:?}", heard(&[("one", text), ("\0", empty), ("two", text)]));
}
END
seen=$(cargo run --quiet --manifest-path "$dir/Cargo.toml")
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
one, two: heard ["one", "two"]
one, nothing, two: heard ["one"]
one, a byte that is ignored, two: heard ["one", "\0", "two"]
SEEN
