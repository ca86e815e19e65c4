#!/bin/bash
# webrtc-sdp 0.3.17 (crates.io, Mozilla's parser) fails on the example of the standard, and loses a fingerprint by its spelling.
#
# All with `fail_on_warning` off, where unknown things are to be skipped. The example of RFC 8866 5 has a p= line, which is an
# error for the whole description; so is `a=ptime:2.5`, though the grammar of RFC 8866 6.4 lets the number be real. Names of hash
# functions are case-insensitive (RFC 8122 5); `SHA-256` costs the fingerprint, with a warning only.
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
webrtc-sdp = "=0.3.17"
END
cat >"$dir/src/main.rs" <<'END'
fn main() {
    let hash = ["AA"; 32].join(":");
    let text = |session: &str, media: &str| {
        format!("v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=-\r\n{session}c=IN IP4 198.51.100.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n{media}")
    };
    for (name, text) in [
        ("p= line", text("p=+1 617 555-6011\r\n", "")),
        ("a=ptime:2.5", text("", "a=ptime:2.5\r\n")),
        ("sha-256", text("", &format!("a=fingerprint:sha-256 {hash}\r\n"))),
        ("SHA-256", text("", &format!("a=fingerprint:SHA-256 {hash}\r\n"))),
    ] {
        match webrtc_sdp::parse_sdp(&text, false) {
            Ok(read) => println!("{name}: {} fingerprint, {} warning", read.to_string().matches("fingerprint").count(), read.warnings.len()),
            Err(error) => println!("{name}: {error}"),
        }
    }
}
END
seen=$(cargo run --quiet --manifest-path "$dir/Cargo.toml")
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
p= line: Line error: Parsing error: unsupported type phone: +1 617 555-6011 in line(3): p=+1 617 555-6011
a=ptime:2.5: Line error: Integer parsing error: invalid digit found in string in line(6): a=ptime:2.5
sha-256: 1 fingerprint, 0 warning
SHA-256: 0 fingerprint, 1 warning
SEEN
