#!/bin/bash
# sdp 0.17.2 (crates.io, the parser of webrtc-rs) refuses descriptions of transports that every WebRTC endpoint has to take.
#
# RFC 8829 5.1.2 wants TCP/DTLS/RTP/SAVPF and TCP/DTLS/SCTP accepted beside their UDP forms: a peer whose default candidate is one of
# TCP writes them. The library knows a closed list of words for the transport and fails on the whole description. It also takes
# one e= and one p= line where RFC 8866 9 has any number, and keeps the last of several c= lines of a section without a word.
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
sdp = "=0.17.2"
END
cat >"$dir/src/main.rs" <<'END'
fn main() {
    let media = |transport: &str| format!("t=0 0\r\nm=audio 9 {transport} 0\r\nc=IN IP4 0.0.0.0\r\n");
    for (name, rest) in [
        ("UDP/TLS/RTP/SAVPF", media("UDP/TLS/RTP/SAVPF")),
        ("TCP/DTLS/RTP/SAVPF", media("TCP/DTLS/RTP/SAVPF")),
        ("TCP/DTLS/SCTP", media("TCP/DTLS/SCTP")),
        ("two e= lines", format!("e=a@example.com\r\ne=b@example.com\r\n{}", media("RTP/AVP"))),
        ("two c= lines", format!("{}c=IN IP4 233.252.0.2/127\r\n", media("RTP/AVP"))),
    ] {
        let text = format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\n{rest}");
        match sdp::SessionDescription::unmarshal(&mut std::io::Cursor::new(text.as_bytes())) {
            Ok(read) => println!("{name}: read, {} c= lines", read.marshal().matches("c=IN").count()),
            Err(error) => println!("{name}: {error}"),
        }
    }
}
END
seen=$(cargo run --quiet --manifest-path "$dir/Cargo.toml")
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
UDP/TLS/RTP/SAVPF: read, 1 c= lines
TCP/DTLS/RTP/SAVPF: SdpInvalidValue: TCP/DTLS/RTP/SAVPF
TCP/DTLS/SCTP: SdpInvalidValue: TCP/DTLS/SCTP
two e= lines: SdpInvalidSyntax: e=
two c= lines: read, 1 c= lines
SEEN
