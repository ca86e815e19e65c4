// Every scalability mode of this Chromium, one after another: sent to a connection of the same page, to one who pulls and
// to one who plays by WHEP. Takes many minutes; the tests of every day take a handful of modes.
// A run of any test by `tests/browser/run` installs what it needs.
//   [CODECS="VP9 AV1"] [MODES="L3T3_KEY S2T1"] [MS=30000] node tests/browser/calls/scalability.js

import { compare, offered } from "../lib/scalability.js";
import { Rig } from "../lib/rig.js";

const only = (process.env.MODES ?? "").split(" ").filter(Boolean);
const rig = await Rig.start();
const bad = [];
try {
  const { page } = await rig.tab();
  for (const codec of (process.env.CODECS ?? "VP9 AV1").split(" ")) {
    const modes = (await offered(page, codec)).filter((mode) => only.length === 0 || only.includes(mode));
    console.log(`${codec}: ${modes.length} modes: ${modes.join(" ")}`);
    for (const mode of modes) {
      const { good, seen, error } = await compare(rig, codec, mode, { ms: Number(process.env.MS ?? 30_000) });
      const line = Object.entries(seen).map(([way, it]) => `${way} ${it.codec} ${it.mode}, ${it.encoded} encoded, ${it.frames} decoded in ${it.packets} packets, ${it.width} of ${it.sent} wide, picture ${it.picture}`);
      console.log(`${good ? "ok    " : "FAILED"} ${codec} ${mode}: ${line.join("; ")}${seen.direct ? "" : error}`);
      if (!good) bad.push(`${codec} ${mode}`);
      await rig.clear();
    }
  }
} finally {
  await rig.stop();
}
if (bad.length > 0) {
  console.error(`not as between two connections: ${bad.join(", ")}`);
  process.exitCode = 1;
}
