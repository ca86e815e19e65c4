// Publishers and players that others wrote for WHIP and WHEP, as npm has them, against the server and against each other.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { picture, tone, useRig } from "../lib/rig.js";
import { until } from "../lib/until.js";

const rig = useRig({ before, after, afterEach }, { server: { shards: 2 } });
const packages = ["eyevinn", "binbat"];

/** The stream of that name as the server lists it, if it does. */
async function listed(stream) {
  const { reply } = await rig().server.api("GET", "ext/streams");
  return reply.streams.find((entry) => entry.stream === stream);
}

for (const [index, publisher] of packages.entries()) {
  for (const player of packages) {
    const stream = `${publisher}-${player}`;
    test(`@${player}'s player shows what @${publisher}'s publisher sends, and both leave`, async () => {
      const sender = await rig().publishBy(publisher, stream, [picture(20 + index), tone(600 + 100 * index)]);
      const { peer, video, audio } = await rig().playBy(player, stream);
      await video.expectPicture(20 + index, { frames: 20 });
      await audio.expectTone(600 + 100 * index);
      await until("the viewer to be listed", async () => (await listed(stream)).viewers === 1);
      await peer.call("stopBy");
      await until("the viewer to be gone", async () => (await listed(stream)).viewers === 0);
      await sender.peer.call("stopBy");
      await until("the stream to be gone", async () => (await listed(stream)) === undefined);
    });
  }
}

test("@eyevinn's publisher sends its candidates one by one, and all are taken", async () => {
  // With a single section, whose mid is 0, it sends fragments without contents; those are refused, which it survives.
  const { peer } = await rig().publishBy("eyevinn", "trickles", [picture(30), tone(500)]);
  const { video } = await rig().whep("trickles");
  await video.expectPicture(30, { frames: 20 });
  assert.equal(await peer.call("trickles"), true);
});

test("@binbat's player is told of the stream, its layers and its viewers", async () => {
  const player = await rig().playBy("binbat", "told");
  const expectTold = (what, is) =>
    until(`@binbat's player to be told ${what}`, async () => {
      const seen = await player.peer.call("told");
      return { done: seen.some(is), seen };
    });
  await expectTold("that nobody sends", ({ event }) => event === "inactive");
  const encodings = [{ rid: "l", scaleResolutionDownBy: 4 }, { rid: "h" }];
  await rig().whip("told", [picture(31, { width: 640, height: 360, encodings })]);
  await expectTold("that somebody sends", ({ event }) => event === "active");
  await expectTold("the layers", ({ event, ...mids }) => {
    const ids = Object.values(mids).flatMap(({ active = [] }) => active.map((layer) => layer.encodingId));
    return event === "layers" && ids.includes("l") && ids.includes("h");
  });
  await rig().whep("told");
  await expectTold("of another viewer", ({ event, viewercount }) => event === "viewercount" && viewercount === 2);

  await player.peer.call("selectLayer", { mediaId: "0", encodingId: "l" });
  await player.video.expectPicture(31);
  await player.video.expectSample("see the small layer", ({ width }) => width === 160);
  await player.peer.call("selectLayer", { mediaId: "0", encodingId: "h" });
  await player.video.expectSample("see the large layer", ({ width }) => width === 640);
});

test("@binbat's publisher and player restart ICE in mid-stream", async () => {
  const sender = await rig().publishBy("binbat", "restarts", [picture(32)]);
  const { peer, video } = await rig().playBy("binbat", "restarts");
  await video.expectPicture(32);
  for (const who of [sender.peer, peer]) {
    const before = await who.call("selectedPair");
    await who.call("restartBy");
    await until(`${who.name} to use its new credentials`, async () => {
      const seen = await who.call("selectedPair");
      return { done: seen && seen.localUfrag !== before.localUfrag && seen.remoteUfrag !== before.remoteUfrag, seen };
    });
    await video.expectPicture(32, { frames: 20 });
  }
});
