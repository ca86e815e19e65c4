#!/bin/bash
# sdp-transform 3.0.0 (npm), which several SFUs and clients stand on, changes what a description says by reading and writing it.
#
# - `a=rtcp-mux-only` (RFC 8858: there is no other way) comes out as `a=rtcp-mux` (RFC 5761: an offer to do so).
# - `a=ice-options:trickle ice2` (RFC 8445 10: more than one) keeps the first; an agent of RFC 8445 becomes one of RFC 5245.
# - `a=msid:stream` without a track (RFC 8830 2) gets a track named "undefined".
# - A candidate loses all attributes that are not in the library's list (RFC 8839 5.1 lets anybody add some).
# - The H.264 profile 640028 is a number, 42e01f is text.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
npm install --prefix "$dir" --no-audit --no-fund --loglevel=error sdp-transform@3.0.0 >/dev/null

seen=$(cd "$dir" && node - <<'END'
const { parse, parseParams, write } = require("sdp-transform");
const head = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\n";

for (const line of [
  "a=rtcp-mux-only",
  "a=ice-options:trickle ice2",
  "a=msid:stream",
  "a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host example-tag 7",
]) {
  console.log(line, "->", write(parse(head + line + "\r\n")).slice(head.length).trimEnd());
}
for (const profile of ["640028", "42e01f"]) {
  console.log(profile, "->", typeof parseParams(`profile-level-id=${profile}`)["profile-level-id"]);
}
END
)
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
a=rtcp-mux-only -> a=rtcp-mux
a=ice-options:trickle ice2 -> a=ice-options:trickle
a=msid:stream -> a=msid:stream undefined
a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host example-tag 7 -> a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host
640028 -> number
42e01f -> string
SEEN
