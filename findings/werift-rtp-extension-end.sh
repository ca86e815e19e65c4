#!/bin/bash
# werift 0.25.2 (npm) hands out the rest of a header extension as payload when the extension is ended by the number 15.
#
# RFC 8285 4.2: number 15 in the one-byte form ends the processing of the extension; its length stays what the header says. The
# reader stops there and takes the bytes that follow for the payload, so a decoder gets four bytes of extension in front of its
# frame. What it writes again is another packet than it read.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
npm install --prefix "$dir" --no-audit --no-fund --loglevel=error werift@0.25.2 >/dev/null

seen=$(cd "$dir" && node - <<'END'
const { RtpPacket } = require("werift");
const header = Buffer.from("906000010000000100000002", "hex");
const packet = (extension) =>
  Buffer.concat([header, Buffer.from("bede0002", "hex"), Buffer.from(extension, "hex"), Buffer.from("payload")]);

for (const [name, extension] of [["padded", "10aa000000000000"], ["ended by 15", "10aaf0deadbeef00"]]) {
  const bytes = packet(extension);
  const read = RtpPacket.deSerialize(bytes);
  console.log(`${name}: payload ${read.payload.toString("hex")}, written as it was read: ${read.serialize().equals(bytes)}`);
}
END
)
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
padded: payload 7061796c6f6164, written as it was read: false
ended by 15: payload deadbeef007061796c6f6164, written as it was read: false
SEEN
