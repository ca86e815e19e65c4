#!/bin/bash
# werift 0.25.2 (npm) refuses a description in which `a=rtcp` names a port and no address.
#
# RFC 3605 2.1 has the address in brackets: `a=rtcp:9` is whole. The reader wants `port IN IP4 address` and throws an Error whose only
# text is "exception", for the description as a whole. Of `m=audio 9/2`, where RFC 8866 5.14 lets a number of ports follow, it
# says that the m line was not found.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
npm install --prefix "$dir" --no-audit --no-fund --loglevel=error werift@0.25.2 >/dev/null

seen=$(cd "$dir" && node - <<'END'
const { SessionDescription } = require("werift");
const lines = (port, rtcp) =>
  `v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio ${port} RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\na=rtcp:${rtcp}\r\n`;

for (const [port, rtcp] of [["9", "9 IN IP4 0.0.0.0"], ["9", "9"], ["9/2", "9 IN IP4 0.0.0.0"]]) {
  try {
    console.log(`m=audio ${port}, a=rtcp:${rtcp}: ${SessionDescription.parse(lines(port, rtcp)).media.length} section`);
  } catch (error) {
    console.log(`m=audio ${port}, a=rtcp:${rtcp}: ${error.name}: ${error.message}`);
  }
}
END
)
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
m=audio 9, a=rtcp:9 IN IP4 0.0.0.0: 1 section
m=audio 9, a=rtcp:9: Error: exception
m=audio 9/2, a=rtcp:9 IN IP4 0.0.0.0: Error: m line not found
SEEN
