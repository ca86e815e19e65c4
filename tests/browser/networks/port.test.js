// All shards on one UDP port: calls across shards, with the kernel steering datagrams and with shards handing them over.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { picture, tone, useRig } from "../lib/rig.js";
import { until } from "../lib/until.js";

const CLIENTS = 6;
/** So many that the kernel's hash brings all clients to their own shard once in 4096 runs. */
const SHARDS = 4;

const WITHOUT_BPF = ["setpriv", "--bounding-set", "-bpf,-sys_admin", "--inh-caps", "-bpf,-sys_admin"];
const STEERED = /datagrams are steered to their shard by the kernel/;
const HANDED_OVER = /datagrams are handed over to their shard, since the kernel does not steer them .*CAP_BPF/;

const ways = [
  { way: "steered by the kernel", steering: "kernel", isSteered: true, said: STEERED },
  { way: "handed over", steering: "handover", isSteered: false },
  { way: "handed over, since the server may not steer them", steering: "auto", isSteered: false, said: HANDED_OVER, under: WITHOUT_BPF },
  { way: "steered by the kernel, by recvmmsg", steering: "auto", isSteered: true, said: STEERED, io: "mmsg" },
  { way: "handed over, by recvmmsg", steering: "handover", isSteered: false, io: "mmsg" },
];

for (const { way, steering, isSteered, said, under, io = "auto" } of ways) {
  describe(`one port, datagrams ${way}`, () => {
    const variables = { RINGCAST_MEDIA_STEERING: steering, RINGCAST_MEDIA_IO: io };
    const rig = useRig({ before, after, afterEach }, { server: { shards: SHARDS, under, extra: ["--single-port"], variables } });

    test("everybody sees and hears everybody, whichever shard they are on", async (t) => {
      const { server } = rig();
      if (said) assert.match(server.output.join("\n"), said);
      if (io !== "auto") assert.equal(await server.metric(`ringcast_io_backend{backend="${io}"}`), 1);
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
      const taken = await Promise.all(sessions.map(async (id) => (await server.api("GET", `ext/sessions/${id}/stats`)).reply.statistics.shard));
      assert.ok(new Set(taken).size > 1, `all on one shard: ${taken}`);
      const hops = () => server.metric("ringcast_handed_over_datagrams_total");
      // A check or two of each client, or all that some of them send.
      if (isSteered) assert.ok((await hops()) < 50 * CLIENTS, `${await hops()}`);
      else await until("the shards to hand over media", async () => ({ done: (await hops()) > 50 * CLIENTS, seen: await hops() }));
      t.diagnostic(`${await hops()} datagrams were handed over`);
    });
  });
}
