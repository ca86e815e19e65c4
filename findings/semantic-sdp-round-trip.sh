#!/bin/bash
# semantic-sdp 3.31.1 (npm, of Medooze) fails on a layer with one payload type, and changes roles, candidates and extensions.
#
# - `a=rid:h send pt=96` (RFC 8851 5: a list, of one here) is a TypeError for the whole description; two are read.
# - A role for the whole session (RFC 8122 5: session or media level) is lost, `active` in an answer becomes `actpass`, which an
#   answer must not have (RFC 5763 5). The fingerprint beside it is read.
# - A candidate over TCP loses its `tcptype`, without which it is none (RFC 6544 4.5).
# - An extension loses its direction (RFC 8285 5), feedback for all formats (RFC 4585 4.2) is gone, and the parameters of
#   telephone events (RFC 4733 2.4.1), which are no pairs, become one: `0-15=`.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
npm install --prefix "$dir" --no-audit --no-fund --loglevel=error semantic-sdp@3.31.1 >/dev/null

seen=$(cd "$dir" && node - <<'END'
const { SDPInfo } = require("semantic-sdp");

const session = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=fingerprint:sha-256 AA:BB"];
const media = (kind, codec) => [
  `m=${kind} 9 UDP/TLS/RTP/SAVPF 96 98`, "c=IN IP4 0.0.0.0", "a=ice-ufrag:u", "a=ice-pwd:p", "a=mid:0", "a=sendonly", "a=rtcp-mux",
  `a=rtpmap:96 ${codec}`, `a=rtpmap:98 ${kind === "video" ? "VP8/90000" : "opus/48000/2"}`,
];
const write = (lines) => {
  try {
    return SDPInfo.parse(`${lines.join("\r\n")}\r\n`).toString().split("\r\n");
  } catch (error) {
    return [`${error.name}: ${error.message}`];
  }
};
const told = (line, written) => {
  const name = line.split(/[ :]/)[0];
  const found = written.filter((one) => one.startsWith(name) || one.startsWith("TypeError"));
  console.log(`${line} -> ${found.join(", ").trim() || "nothing"}`);
};
for (const line of ["a=rid:h send pt=96", "a=rid:h send pt=96,98"])
  told(line, write([...session, ...media("video", "H264/90000"), line, "a=simulcast:send h"]));
for (const line of ["a=candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype active", "a=extmap:1/sendonly urn:x", "a=rtcp-fb:* nack"])
  told(line, write([...session, ...media("video", "H264/90000"), line]));
told("a=fmtp:96 0-15", write([...session, ...media("audio", "telephone-event/8000"), "a=fmtp:96 0-15"]));
told("a=setup:active", write([...session, "a=setup:active", ...media("video", "H264/90000")]));
console.log("and behind the m= line:");
told("a=setup:active", write([...session, ...media("video", "H264/90000"), "a=setup:active"]));
END
)
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
a=rid:h send pt=96 -> TypeError: list[k].split is not a function
a=rid:h send pt=96,98 -> a=rid:h send pt=96,98
a=candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype active -> a=candidate:1 1 tcp 1 192.0.2.1 9 typ host
a=extmap:1/sendonly urn:x -> a=extmap:1 urn:x
a=rtcp-fb:* nack -> nothing
a=fmtp:96 0-15 -> a=fmtp:96 0-15=
a=setup:active -> a=setup:actpass
and behind the m= line:
a=setup:active -> a=setup:active
SEEN
