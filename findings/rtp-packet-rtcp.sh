#!/bin/bash
# rtp-packet 0.4.2 (npm) loses parts of RTCP that RFC 3550 allows, without a word.
#
# A receiver report without blocks, with which most compound packets of a client that receives nothing begin (6.1), has neither
# name nor SSRC; of SDES with several chunks (6.5) the first is all; and the cumulative number of packets lost, which is signed
# (6.4.1), is 16,777,215 where duplicates make it -1. Header extensions of the two-byte form (RFC 8285 4.3) are left out.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
npm install --prefix "$dir" --no-audit --no-fund --loglevel=error rtp-packet@0.4.2 >/dev/null
cat >"$dir/shows.cjs" <<'END'
const { parse, parseRTCPCompound } = require("rtp-packet");

const bytes = (hex) => Buffer.from(hex.replaceAll(" ", ""), "hex");
for (const [name, hex] of [
  ["a receiver report without blocks", "80c90001 00000001"],
  ["two chunks of SDES", "82ca0004 00000001 01016100 00000002 01016200"],
]) console.log(`${name}: ${JSON.stringify(parseRTCPCompound(bytes(hex)))}`);
const [report] = parseRTCPCompound(bytes("81c90007 00000001 00000002 00ffffff 00000001 00000002 00000003 00000004"));
console.log(`-1 packet lost: ${report.totalLost}`);
for (const [name, hex] of [["one-byte form", "bede0001 10110000"], ["two-byte form", "10000001 01011100"]]) {
  const { extension, extensions } = parse(bytes(`90600001 00000002 00000003 ${hex} aabb`));
  console.log(`${name}: ${extension}, ${JSON.stringify(extensions)}`);
}
END
seen=$(node "$dir/shows.cjs")
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
a receiver report without blocks: [{"version":2,"padding":false,"type":201,"length":1}]
two chunks of SDES: [{"version":2,"padding":false,"type":202,"length":4,"name":"SDES","ssrc":1,"items":[{"type":1,"value":"a"}],"cname":"a"}]
-1 packet lost: 16777215
one-byte form: true, {"1":{"type":"Buffer","data":[17]}}
two-byte form: true, null
SEEN
