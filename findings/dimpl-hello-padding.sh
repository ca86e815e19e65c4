#!/bin/bash
# dimpl 0.9.0 (crates.io, below str0m) fills its first ClientHello with zeros up to the MTU.
#
# The hello has some 200 bytes, and leaves as a record of the whole MTU: the padding extension (RFC 7685) takes the rest, once, in
# the first flight of a client that may speak 1.3. There is no setting for it. Behind a peer that bounds what it answers
# by what it got, as RFC 9147 5.1 has it for servers, that is on purpose; over a path with less room than the MTU says the first
# flight is the one that is lost, and whoever measures or bounds handshakes by bytes sees a size that follows the MTU alone.
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
dimpl = { version = "=0.9.0", default-features = false, features = ["aws-lc-rs", "rcgen"] }
END
cat >"$dir/src/main.rs" <<'END'
use std::sync::Arc;
use std::time::Instant;

fn hello(mtu: usize, new: bool) -> Vec<u8> {
    let config = Arc::new(dimpl::Config::builder().mtu(mtu).build().unwrap());
    let certificate = dimpl::certificate::generate_self_signed_certificate().unwrap();
    let now = Instant::now();
    let mut dtls = match new {
        true => dimpl::Dtls::new_auto(config, certificate, now),
        false => dimpl::Dtls::new_12(config, certificate, now),
    };
    dtls.set_active(true);
    dtls.handle_timeout(now).unwrap();
    let mut buffer = vec![0; 4_000];
    loop {
        match dtls.poll_output(&mut buffer) {
            dimpl::Output::Packet(packet) => return packet.to_vec(),
            dimpl::Output::Timeout(_) => panic!("no hello"),
            _ => {}
        }
    }
}

fn main() {
    for mtu in [600, 1_150, 1_400] {
        for (name, new) in [("1.2 alone", false), ("1.2 or 1.3", true)] {
            let hello = hello(mtu, new);
            let longest = hello.split(|byte| *byte != 0).map(<[u8]>::len).max().unwrap_or(0);
            println!("MTU {mtu}, {name}: {}, with {} zeros in a row", if hello.len() == mtu { "the whole MTU" } else { "less" }, longest / 100 * 100);
        }
    }
}
END
seen=$(cargo run --quiet --manifest-path "$dir/Cargo.toml")
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
MTU 600, 1.2 alone: less, with 0 zeros in a row
MTU 600, 1.2 or 1.3: the whole MTU, with 400 zeros in a row
MTU 1150, 1.2 alone: less, with 0 zeros in a row
MTU 1150, 1.2 or 1.3: the whole MTU, with 900 zeros in a row
MTU 1400, 1.2 alone: less, with 0 zeros in a row
MTU 1400, 1.2 or 1.3: the whole MTU, with 1200 zeros in a row
SEEN
