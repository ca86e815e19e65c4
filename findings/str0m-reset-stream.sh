#!/bin/bash
# str0m 0.25.0 (crates.io) keeps a sending stream under its old SSRC after `DirectApi::reset_stream_tx`.
#
# The call gives a stream another SSRC without a new stream. The stream itself has it from then on, and packets leave with it,
# but the engine's table still has the old one as the key: by its new SSRC the stream is not found, by the old one it is, and
# says that it has the new one. What is looked up by the SSRC of a peer's report, as a keyframe request is, finds nothing, so
# whoever moves a stream to a new SSRC in this way hears of no request for it. To remove the stream and declare another one works.
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
str0m = "=0.25.0"
END
cat >"$dir/src/main.rs" <<'END'
use std::time::Instant;

use str0m::media::MediaKind;
use str0m::rtp::Ssrc;
use str0m::Rtc;

fn tell(rtc: &mut Rtc, title: &str) {
    println!("{title}");
    for ssrc in [1000, 2000] {
        match rtc.direct_api().stream_tx(&Ssrc::from(ssrc)) {
            Some(stream) => println!("  by {ssrc}: a stream that says it has {}", *stream.ssrc()),
            None => println!("  by {ssrc}: none"),
        }
    }
}

fn main() {
    let mut rtc = Rtc::builder().set_rtp_mode(true).build(Instant::now());
    let mid = "v".into();
    rtc.direct_api().declare_media(mid, MediaKind::Video);
    rtc.direct_api().declare_stream_tx(1000.into(), Some(1001.into()), mid, None);
    tell(&mut rtc, "declared");
    let reset = rtc.direct_api().reset_stream_tx(mid, None, 2000.into(), Some(2001.into())).map(|stream| *stream.ssrc());
    println!("reset: {reset:?}");
    tell(&mut rtc, "after it");
    rtc.direct_api().remove_stream_tx(1000.into());
    rtc.direct_api().declare_stream_tx(2000.into(), Some(2001.into()), mid, None);
    tell(&mut rtc, "removed and declared");
}
END
seen=$(cargo run --quiet --manifest-path "$dir/Cargo.toml")
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
declared
  by 1000: a stream that says it has 1000
  by 2000: none
reset: Some(2000)
after it
  by 1000: a stream that says it has 2000
  by 2000: none
removed and declared
  by 1000: none
  by 2000: a stream that says it has 2000
SEEN
