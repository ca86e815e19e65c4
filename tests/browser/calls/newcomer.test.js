// A viewer that comes right after another one begins with the keyframe that was made for that one.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { picture, useRig } from "../lib/rig.js";
import { until } from "../lib/until.js";

const rig = useRig({ before, after, afterEach }, { server: { shards: 2 } });

const APART_MS = 300;
/** On a machine that is busy with other things the second may come too late to be served from the cache. */
const TRIES = 10;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** How many newcomers the server has served from its cache; it counts once a second. */
async function served() {
  await pause(1200);
  return rig().server.metric('ringcast_keyframe_requests_total{outcome="cached"');
}

const minus = (now, then) => Object.fromEntries(Object.keys(then).map((key) => [key, now[key] - then[key]]));

/** Lets pairs of viewers come until the second one of a pair was served from the cache, and the pair has cost one keyframe. */
async function pairs(publisher, view) {
  const figures = async () => {
    const { keyframes, asked } = (await publisher.call("sending", "camera"))[""];
    return { keyframes, asked, cached: await served() };
  };
  const seen = [];
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const earlier = await figures();
    const first = view();
    await pause(APART_MS);
    const viewers = await Promise.all([first, view()]);
    for (const viewer of viewers) await viewer.expectPicture(30);
    const cost = minus(await figures(), earlier);
    seen.push(cost);
    // The publisher was asked for the first viewer, and for nobody else.
    if (cost.cached === 1 && cost.asked === 1 && cost.keyframes <= 1) return;
  }
  assert.fail(`no newcomer was served from the cache alone: ${JSON.stringify(seen)}`);
}

for (const codec of ["VP8", "VP9", "H264", "AV1"]) {
  test(`${codec}: a newcomer that pulls right after another costs the publisher nothing`, async () => {
    const alice = await rig().peer("alice", { raw: true, apart: true });
    const { metadata } = await alice.push("camera", picture(30, { codec }));
    await until("alice to send", async () => (await alice.call("sending", "camera"))[""]?.frames > 30);
    await pairs(alice, async () => (await rig().peer("bob", { raw: true })).pull(metadata));
  });
}

test("a newcomer that plays by WHEP right after another costs the publisher nothing", async () => {
  const { peer } = await rig().whip("newcomers", [picture(30)]);
  await until("the publisher to send", async () => (await peer.call("sending", "video"))[""]?.frames > 30);
  const publisher = { call: (fn) => peer.call(fn, "video") };
  await pairs(publisher, async () => (await rig().whep("newcomers")).video);
});
