// Strangers who have copied what browsers send: they take neither media nor an address, whatever shard has it.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { BEHIND, RELAY, Relay, isCheck, isMedia, stranger } from "../lib/relay.js";
import { longestGaps, picture, useRig } from "../lib/rig.js";

const COPIES = 200;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const places = ["--media-address", BEHIND, "--advertise", `${BEHIND}=${RELAY}`];

describe("copies of checks", () => {
  const extra = [...places, "--single-port"];
  const rig = useRig({ before, after, afterEach }, { server: { shards: 2, extra } });
  let relay;
  before(async () => (relay = await Relay.start(rig().server.udpPort)));
  after(() => relay.stop());

  /** Two viewers of one picture, and by which address each of them has it. */
  async function viewers() {
    const publisher = await rig().peer("publisher");
    const camera = await publisher.push("camera", picture(7));
    const all = [];
    for (const name of ["first", "second"]) {
      all.push(
        await relay.sideOf(async () => {
          const viewer = await rig().peer(name);
          const pulled = await viewer.pull(camera.metadata);
          await pulled.expectPicture(7);
          return pulled;
        }),
      );
    }
    assert.ok(all.every(({ side }) => side.received > 0 && side.checks.length > 0), "each has an address of its own");
    return all;
  }

  /** Sends copies of somebody's checks by `by` while both go on seeing the picture, of which no packet goes elsewhere. */
  async function copy(t, all, side, by) {
    const gaps = await longestGaps(
      all.map(({ value }) => value),
      async () => {
        for (let count = 0; count < COPIES; count += 1) {
          by.send(side.checks[count % side.checks.length]);
          await pause(40);
        }
        await Promise.all(all.map(({ value }) => value.expectPicture(7)));
      },
    );
    assert.deepEqual(all.map(({ side }) => side.missing), [0, 0], "all packets went to the viewers");
    t.diagnostic(`longest times without a frame: ${gaps.map((gap) => `${Math.round(gap)} ms`).join(", ")}`);
  }

  test("no media goes where copied checks come from, and the viewer's picture goes on", async (t) => {
    const all = await viewers();
    const by = await stranger(rig().server.udpPort);
    await copy(t, all, all[1].side, by);
    by.socket.close();
    assert.ok(by.answers.some(isCheck), "it is asked who is there");
    assert.ok(!by.answers.some(isMedia), "and gets no media");
  });

  test("copied checks take no address from the viewer who is there, and both pictures go on", async (t) => {
    const all = await viewers();
    const held = () => rig().server.metric('ringcast_dropped_total{reason="held_address"');
    const before = await held();
    await copy(t, all, all[1].side, all[0].side);
    await pause(1_100);
    assert.ok((await held()) - before > COPIES / 2, `${(await held()) - before} copies came to nothing`);
  });
});
