#!/bin/bash
# ebml 3.0.0 (npm) ends elements of unknown size after their first child where the size has eight bytes, as live WebM has it.
#
# A size of ones alone is unknown, in any width (RFC 8794 6.2); MediaRecorder of Chromium and most live muxers write
# 01 ff ff ff ff ff ff ff for Segment and Cluster, whose end is not known yet. The decoder knows the one of a single byte. With eight,
# a Cluster is over behind its Timecode and the Segment behind its first child, so blocks belong to no cluster and have no time.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
npm install --prefix "$dir" --no-audit --no-fund --loglevel=error ebml@3.0.0 >/dev/null

seen=$(cd "$dir" && node - <<'END'
const { Decoder } = require("ebml");

const bytes = (hex) => Buffer.from(hex.replaceAll(" ", ""), "hex");
const element = (id, content, size) => Buffer.concat([bytes(id), size ?? Buffer.from([0x80 | content.length]), content]);
const known = (content) => Buffer.from([0x40, content.length]);
/** Two clusters of one block each; the size of what holds others is given. */
function live(size) {
  const block = element("a3", bytes("81 0000 80 fcfffe"));
  const cluster = (time) => {
    const content = Buffer.concat([element("e7", Buffer.from([time])), block]);
    return element("1f43b675", content, size(content));
  };
  const head = element("1a45dfa3", element("4282", Buffer.from("webm")));
  const info = element("1549a966", element("2ad7b1", bytes("0f4240")));
  const content = Buffer.concat([info, cluster(0), cluster(20)]);
  return Buffer.concat([head, element("18538067", content, size(content))]);
}
for (const [name, size] of [
  ["known", known],
  ["unknown, one byte", () => bytes("ff")],
  ["unknown, eight bytes", () => bytes("01 ffffffffffffff")],
]) {
  const inside = [];
  const seen = [];
  const decoder = new Decoder();
  decoder.on("data", ([kind, { name }]) => {
    if (kind === "start") inside.push(name);
    if (kind === "end") inside.splice(inside.lastIndexOf(name));
    if (name === "SimpleBlock") seen.push(inside.join("/") || "nothing");
  });
  decoder.write(live(size));
  console.log(`${name}: the first block is in ${seen[0]}`);
}
END
)
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
known: the first block is in Segment/Cluster
unknown, one byte: the first block is in Segment/Cluster
unknown, eight bytes: the first block is in nothing
SEEN
