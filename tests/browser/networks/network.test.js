// A client whose network changes or loses packets. Its browser lives in a network namespace of its own; where
// this machine does not allow one, the tests are skipped.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { canMakeNetns, makeNetns } from "../lib/netns.js";
import { Rig, picture, tone } from "../lib/rig.js";
import { until } from "../lib/until.js";

const skip = (await canMakeNetns()) ? false : "network namespaces are not allowed here";

describe("a browser in a network of its own", { skip }, () => {
  let netns;
  let rig;
  before(
    async () => {
      netns = await makeNetns();
      rig = await Rig.start({
        host: netns.host,
        server: { extra: ["--media-address", netns.host] },
        browser: {
          executablePath: netns.executablePath,
          hosts: [netns.host],
          // partytracks needs a secure context; this origin is one only on our say-so.
          argsFor: ({ pages }) => [`--unsafely-treat-insecure-origin-as-secure=${new URL(pages.url).origin}`],
        },
      });
    },
    { timeout: 60_000 },
  );
  after(async () => {
    await rig?.stop();
    await netns?.stop();
  });
  afterEach(async () => {
    await netns.loseOneIn(0);
    await rig.clear();
  });

  for (const raw of [true, false]) {
    test(`${raw ? "a plain client" : "partytracks"} whose address changes goes on sending and receiving`, async () => {
      const [first, second] = netns.addresses;
      const [alice, bob] = [await rig.peer("alice", { raw }), await rig.peer("bob", { raw })];
      const camera = await alice.push("camera", picture(86));
      const other = await bob.push("other", picture(87));
      const [seenByBob, seenByAlice] = [await bob.pull(camera.metadata), await alice.pull(other.metadata)];
      await seenByBob.expectPicture(86);
      await seenByAlice.expectPicture(87);
      assert.ok((await alice.call("selectedPair")).local.startsWith(first));
      await netns.addAddress(second);
      await netns.removeAddress(first);
      try {
        if (raw) {
          // What an application does on "disconnected": new candidates by an ICE restart.
          for (const peer of [alice, bob]) {
            await peer.until("notice", async () => {
              const { ice } = await peer.call("state");
              return { done: ice === "disconnected" || ice === "failed" || !(await peer.call("selectedPair"))?.local.startsWith(first), seen: ice };
            }, { ms: 20_000 });
            await peer.call("restartIce");
          }
        } else {
          // partytracks makes a new session; what the application owes is to tell the others of it.
          const known = new Map([alice, bob].map((peer) => [peer, null]));
          await until("both to have moved and to see each other by what they tell", async () => {
            const seen = [];
            for (const [sender, label, identity, viewer, pulled] of [[alice, "camera", 86, bob, seenByBob], [bob, "other", 87, alice, seenByAlice]]) {
              const [metadata, pair] = [await sender.call("metadata", label), await sender.call("selectedPair").catch(() => null)];
              const hasMoved = pair?.local.startsWith(second) && metadata?.sessionId === (await sender.sessionId());
              if (hasMoved && known.get(sender) !== metadata.sessionId) {
                known.set(sender, metadata.sessionId);
                await viewer.call("repoint", pulled.label, metadata);
              }
              const { picture: shown, frames } = await pulled.sample();
              seen.push({ sender: sender.name, hasMoved, shows: shown === identity && frames > 0, pair, metadata });
            }
            return { done: seen.every(({ hasMoved, shows }) => hasMoved && shows), seen };
          }, { ms: 60_000, every: 250 });
        }
        await seenByBob.expectPicture(86, { frames: 15, ms: 30_000 });
        await seenByAlice.expectPicture(87, { frames: 15, ms: 30_000 });
        assert.ok((await alice.call("selectedPair")).local.startsWith(second));
      } finally {
        await netns.addAddress(first).catch(() => {});
        await netns.removeAddress(second).catch(() => {});
      }
    });
  }

  for (const way of ["in", "out"]) {
    test(`five in a hundred packets lost on the way ${way === "in" ? "to the viewer" : "to the server"} are sent again`, async (t) => {
      const [alice, bob] = [await rig.peer("alice"), await rig.peer("bob")];
      const [camera, microphone] = await Promise.all([
        alice.push("camera", picture(88, { width: 640, height: 360, fps: 15 })),
        alice.push("microphone", tone(550)),
      ]);
      const [seen, heard] = await Promise.all([bob.pull(camera.metadata), bob.pull(microphone.metadata)]);
      await seen.expectPicture(88);
      // Who asks for what is missing: the viewer by what it receives, the server by what it makes the sender do.
      const figures = async () => {
        const viewed = await seen.sample();
        const { nacks, retransmitted } = way === "in" ? viewed : Object.values(await alice.call("sending", "camera"))[0];
        return { frames: viewed.frames, lost: viewed.lost, freezes: viewed.freezes, nacks, retransmitted };
      };
      await netns.loseOneIn(20, way);
      const before = await figures();
      const after = await bob.until("see 150 more frames with losses mended", async () => {
        const now = await figures();
        return { done: now.frames >= before.frames + 150 && now.nacks > before.nacks && now.retransmitted > before.retransmitted, seen: now, value: now };
      }, { ms: 60_000 });
      t.diagnostic(`${JSON.stringify(before)} became ${JSON.stringify(after)}`);
      if (way === "in") assert.ok(2 * (after.retransmitted - before.retransmitted) >= after.lost - before.lost, "most losses are mended");
      await seen.expectPicture(88);
      await heard.expectTone(550);
    });
  }
});
