#!/bin/bash
# str0m 0.25.0 (crates.io) answers another mid than was offered, cuts rids, and drops extensions by their numbers.
#
# A mid is a token (RFC 5888 4), so `video-1` is one. The library keeps letters and digits and makes `_` of the rest, in the answer
# too, which a browser refuses: it offered no such section. `video-1` and `video_1` are one to it. Of a rid (RFC 8851 10) it keeps
# eight characters, so two that begin alike are one. Extensions with ids above 16, which RFC 8285 4.3 has up to 255 and
# `a=extmap-allow-mixed` allows, leave the answer without a word.
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
str0m = { version = "=0.25.0", default-features = false, features = ["aws-lc-rs"] }
END
cat >"$dir/src/main.rs" <<'END'
use std::sync::Arc;
use std::time::Instant;
use str0m::change::SdpOffer;
use str0m::media::Rid;
use str0m::Rtc;

fn main() {
    let fingerprint = ["AB"; 32].join(":");
    let offer = [
        "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE video-1", "a=extmap-allow-mixed",
        "m=video 9 UDP/TLS/RTP/SAVPF 96", "c=IN IP4 0.0.0.0", "a=ice-ufrag:abcd",
        "a=ice-pwd:0Jf7hnC8VTdRLQ1bUAy5nx2o", &format!("a=fingerprint:sha-256 {fingerprint}"), "a=setup:actpass",
        "a=mid:video-1", "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
        "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
        "a=extmap:17 urn:3gpp:video-orientation", "a=sendonly", "a=rtcp-mux", "a=rtpmap:96 VP8/90000",
        "",
    ]
    .join("\r\n");
    let crypto = Arc::new(str0m::crypto::from_feature_flags());
    let mut rtc = Rtc::builder().set_crypto_provider(crypto).build(Instant::now());
    let answer = rtc.sdp_api().accept_offer(SdpOffer::from_sdp_string(&offer).unwrap()).unwrap().to_sdp_string();
    for name in ["a=group", "a=mid", "a=extmap:"] {
        for (who, text) in [("offered", &offer), ("answered", &answer)] {
            text.lines().filter(|line| line.starts_with(name)).for_each(|line| println!("{who}: {line}"));
        }
    }
    let (one, other) = (Rid::from("resolution-high"), Rid::from("resolution-low"));
    println!("resolution-high is {one}, resolution-low is {other}, which are the same: {}", one == other);
}
END
seen=$(cargo run --quiet --manifest-path "$dir/Cargo.toml")
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
offered: a=group:BUNDLE video-1
answered: a=group:BUNDLE video_1
offered: a=mid:video-1
answered: a=mid:video_1
offered: a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
offered: a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id
offered: a=extmap:17 urn:3gpp:video-orientation
answered: a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
answered: a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id
resolution-high is resoluti, resolution-low is resoluti, which are the same: true
SEEN
