// All shards on one UDP port: calls across shards, with the kernel steering datagrams and with shards handing them over.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { picture, tone, useRig } from "./lib/rig.js";

const CLIENTS = 6;

async function handedOver(server) {
  const text = await (await fetch(`${server.admin}/metrics`)).text();
  return Number(text.match(/^ringcast_handed_over_datagrams_total (\d+)/m)[1]);
}

for (const [way, steering] of [["steered by the kernel", "kernel"], ["handed over", "handover"]]) {
  describe(`one port, datagrams ${way}`, () => {
    const variables = { RINGCAST_MEDIA_STEERING: steering };
    const rig = useRig({ before, after, afterEach }, { server: { shards: 3, extra: ["--single-port"], variables } });

    test("everybody sees and hears everybody, whichever shard they are on", async (t) => {
      const people = await Promise.all(Array.from({ length: CLIENTS }, (_, index) => rig().peer(`person${index}`)));
      const tracks = await Promise.all(
        people.map((person, index) => Promise.all([person.push("camera", picture(40 + index)), person.push("microphone", tone(500 + 100 * index))])),
      );
      for (const [index, person] of people.entries()) {
        const next = (index + 1) % CLIENTS;
        const [camera, microphone] = tracks[next];
        const [seen, heard] = await Promise.all([person.pull(camera.metadata), person.pull(microphone.metadata)]);
        await seen.expectPicture(40 + next);
        await heard.expectTone(500 + 100 * next);
      }
      const sessions = tracks.map(([camera]) => camera.metadata.sessionId);
      const shards = await Promise.all(sessions.map(async (id) => (await rig().server.api("GET", `ext/sessions/${id}/stats`)).reply.statistics.shard));
      assert.ok(new Set(shards).size > 1, `all on one shard: ${shards}`);
      const hops = await handedOver(rig().server);
      t.diagnostic(`${hops} datagrams were handed over`);
      if (steering === "kernel") assert.ok(hops < 50 * CLIENTS, `${hops}`);
      else assert.ok(hops > 50 * CLIENTS, `${hops}`);
    });
  });
}
