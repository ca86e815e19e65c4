// What operators learn of the way to viewers: how many datagrams of real frames leave in one message, which decides what sending
// costs, and what viewers report.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { picture, useRig } from "../lib/rig.js";
import { until } from "../lib/until.js";

const rig = useRig({ before, after, afterEach });
const name = "ringcast_datagrams_sent_together";
// Bounds of the buckets: what lies above 3 has left in a message of 4 and more.
const bounds = [1, 3, 7];

/** Datagrams sent so far: all, and those that left in a message of no more than so many. */
async function together() {
  const text = await (await fetch(`${rig().server.admin}/metrics`)).text();
  const value = (series) => Number(text.split("\n").find((line) => line.startsWith(`${series} `))?.split(" ")[1]);
  const counts = { all: value(`${name}_count`), ...Object.fromEntries(bounds.map((bound) => [bound, value(`${name}_bucket{le="${bound}"}`)])) };
  assert.ok(Object.values(counts).every(Number.isFinite), text);
  return counts;
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
    const sent = await until("a few hundred datagrams to be counted", async () => {
      const now = await together();
      const sent = Object.fromEntries(Object.keys(now).map((bound) => [bound, now[bound] - begun[bound]]));
      return { done: sent.all > 300, seen: sent, value: sent };
    }, { ms: 60_000 });
    const { all } = sent;
    const share = (least) => 1 - sent[least - 1] / all;
    const percent = (least) => `${(100 * share(least)).toFixed(0)} % in messages of ${least} and more`;
    t.diagnostic(`${codec}: of ${all} datagrams ${[2, 4, 8].map(percent).join(", ")}`);
    assert.ok(share(2) > 0, `no two datagrams left together: ${JSON.stringify(sent)}`);
  });
}

test("reports of a viewer tell operators round trips and losses, of all viewers together", async () => {
  const [alice, bob] = [await rig().peer("alice", { apart: true }), await rig().peer("bob", { apart: true })];
  const camera = await alice.push("camera", picture(40));
  const seen = await bob.pull(camera.metadata);
  await seen.expectPicture(40, { frames: 30 });
  // A viewer reports about once a second, and what it says of our clock wants a report of ours before.
  await until("round trips and losses to be counted", async () => {
    const figures = {};
    for (const name of ["round_trip_seconds", "loss_ratio"]) {
      for (const end of ["count", "sum"]) figures[`${name}_${end}`] = await rig().server.metric(`ringcast_subscriber_${name}_${end}`);
    }
    return { done: figures.round_trip_seconds_count > 1 && figures.loss_ratio_count > 1, seen: figures, value: figures };
  }, { ms: 30_000 });
  const mean = await rig().server.metric("ringcast_subscriber_round_trip_seconds_sum") / await rig().server.metric("ringcast_subscriber_round_trip_seconds_count");
  assert.ok(mean >= 0 && mean < 2, `over loopback ${mean} s`);
});
