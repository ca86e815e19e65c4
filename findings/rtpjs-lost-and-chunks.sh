#!/bin/bash
# rtp.js 0.15.5 (npm) reads and writes another number of lost packets than RTCP says, and refuses reports and descriptions that
# RFC 3550 allows.
#
# The cumulative number of packets lost is a signed number of 24 bits (6.4.1). The library takes 12 of them: 4,096 lost are none,
# 70,000 are 368. What it writes for a negative number, which duplicates lead to, is not the two's complement, and it does not
# read that back either. It throws at a second chunk of SDES behind one that ends with a single null (6.5), and at a
# profile-specific extension behind sender or receiver reports (6.4.3).
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
npm install --prefix "$dir" --no-audit --no-fund --loglevel=error rtp.js@0.15.5 >/dev/null
cat >"$dir/shows.mjs" <<'END'
import { packets } from "rtp.js";

const read = (hex) => {
  const bytes = Buffer.from(hex.replaceAll(" ", ""), "hex");
  return new packets.CompoundPacket(new DataView(bytes.buffer, bytes.byteOffset, bytes.length)).dump().packets[0];
};
for (const lost of [0, 4095, 4096, 70_000, -1]) {
  const hex = (lost & 0xffffff).toString(16).padStart(6, "0");
  const { reports } = read(`81c90007 00000001 00000002 00${hex} 00000001 00000002 00000003 00000004`);
  const report = new packets.ReceptionReport();
  report.setTotalLost(lost);
  const { buffer, byteOffset } = report.getView();
  const written = Buffer.from(buffer, byteOffset + 5, 3).toString("hex");
  console.log(`${lost} lost, on the wire ${hex}: read ${reports[0].totalLost}, written ${written}`);
}
for (const [name, hex] of [
  ["a chunk with one null", "81ca0002 00000001 01016100"],
  ["two chunks with one null", "82ca0004 00000001 01016100 00000002 01016200"],
  ["two chunks with more", "82ca0006 00000001 01026162 00000000 00000002 01026162 00000000"],
  ["a sender report", "80c80006 00000001 00000002 00000003 00000004 00000005 00000006"],
  ["a sender report with an extension", "80c80007 00000001 00000002 00000003 00000004 00000005 00000006 00000007"],
]) {
  try {
    console.log(`${name}: ${read(hex).byteLength} bytes`);
  } catch (error) {
    console.log(`${name}: ${error.message}`);
  }
}
END
seen=$(node "$dir/shows.mjs")
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
0 lost, on the wire 000000: read 0, written 000000
4095 lost, on the wire 000fff: read 4095, written 000fff
4096 lost, on the wire 001000: read 0, written 001000
70000 lost, on the wire 011170: read 368, written 011170
-1 lost, on the wire ffffff: read 4095, written 800001
a chunk with one null: 12 bytes
two chunks with one null: SDES Chunk length must be multiple of 4 bytes but it is 11 bytes
two chunks with more: 28 bytes
a sender report: 28 bytes
a sender report with an extension: parsed length (28 bytes) does not match view length (32 bytes)
SEEN
