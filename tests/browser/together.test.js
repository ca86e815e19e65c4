// How many datagrams of real frames leave in one message: what sending costs is decided by it.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { picture, useRig } from "./lib/rig.js";
import { until } from "./lib/until.js";

const rig = useRig({ before, after, afterEach });
const name = "ringcast_datagrams_sent_together_total";

/** Datagrams sent so far by the least number that left in the same message. */
async function together() {
  const text = await (await fetch(`${rig().server.admin}/metrics`)).text();
  const counts = [...text.matchAll(new RegExp(`^${name}\\{at_least="(\\d+)"\\} (\\d+)`, "gm"))];
  assert.equal(counts.length, 4, text);
  return Object.fromEntries(counts.map(([, least, count]) => [least, Number(count)]));
}

for (const codec of ["VP8", "H264"]) {
  test(`packets of a frame leave together: ${codec} of a real encoder`, async (t) => {
    const [alice, bob] = [await rig().peer("alice", { apart: true }), await rig().peer("bob", { apart: true })];
    const camera = await alice.push("camera", picture(40, { width: 1280, height: 720, fps: 30, specks: 150, codec }));
    const seen = await bob.pull(camera.metadata);
    // The encoder finds the rate of the connection first.
    await seen.expectPicture(40, { frames: 60, ms: 60_000 });
    const begun = await together();
    // What is sent is reported once a second.
    const { sent, all } = await until("a few hundred datagrams to be counted", async () => {
      const now = await together();
      const sent = Object.fromEntries(Object.keys(now).map((least) => [least, now[least] - begun[least]]));
      const all = Object.values(sent).reduce((sum, count) => sum + count, 0);
      return { done: all > 300, seen: sent, value: { sent, all } };
    }, { ms: 60_000 });
    const share = (least) => Object.keys(sent).filter((key) => Number(key) >= least).reduce((sum, key) => sum + sent[key], 0) / all;
    const percent = (least) => `${(100 * share(least)).toFixed(0)} % in messages of ${least} and more`;
    t.diagnostic(`${codec}: of ${all} datagrams ${[2, 4, 8].map(percent).join(", ")}`);
    assert.ok(share(2) > 0, `no two datagrams left together: ${JSON.stringify(sent)}`);
  });
}
