#!/bin/bash
# rtp-parser 1.0.0 (npm) reads contributing sources from the wrong bytes, and gives header extensions and padding out as payload.
#
# RFC 3550 5.1 has a list of CSRCs of 4 bytes each behind the fixed header. The library reads the next one a byte further on
# instead of four, so two sources 4 and 5 are 768 and 1024. An extension (5.3.1), which every WebRTC packet has, and padding stay
# in `payload`, although the flags are read: what is handed to a decoder begins with the extension.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
npm install --prefix "$dir" --no-audit --no-fund --loglevel=error rtp-parser@1.0.0 >/dev/null
cat >"$dir/shows.mjs" <<'END'
import { parseRtpPacket } from "rtp-parser";

for (const [name, hex] of [
  ["plain", "80600001 00000002 00000003 aabb"],
  ["sources 4 and 5", "82600001 00000002 00000003 00000004 00000005 aabb"],
  ["an extension", "90600001 00000002 00000003 bede0001 10110000 aabb"],
  ["two bytes of padding", "a0600001 00000002 00000003 aabb0002"],
]) {
  const { csrc, payload } = parseRtpPacket(Buffer.from(hex.replaceAll(" ", ""), "hex"));
  console.log(`${name}: csrc ${JSON.stringify(csrc)}, payload ${payload.toString("hex")}`);
}
END
seen=$(node "$dir/shows.mjs")
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
plain: csrc [], payload aabb
sources 4 and 5: csrc [768,1024], payload aabb
an extension: csrc [], payload bede000110110000aabb
two bytes of padding: csrc [], payload aabb0002
SEEN
