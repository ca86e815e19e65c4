// Clients whose network lets no UDP through: media over TCP, alone and beside clients with UDP. The browser without UDP
// lives in a network namespace of its own; where this machine does not allow one, the tests are skipped.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { startChromium } from "./lib/chromium.js";
import { canMakeNetns, makeNetns } from "./lib/netns.js";
import { Rig, longestGaps, picture, tone } from "./lib/rig.js";
import { until } from "./lib/until.js";

const skip = (await canMakeNetns()) ? false : "network namespaces are not allowed here";

describe("without UDP", { skip }, () => {
  let netns;
  let rig; // The browser without UDP.
  let free; // A browser with UDP, at the same server.
  before(
    async () => {
      netns = await makeNetns();
      const argsFor = ({ pages }) => [`--unsafely-treat-insecure-origin-as-secure=${new URL(pages.url).origin}`];
      rig = await Rig.start({
        host: netns.host,
        server: { shards: 2, extra: ["--media-address", netns.host] },
        browser: { executablePath: netns.executablePath, hosts: [netns.host], argsFor },
      });
      free = Object.assign(new Rig(), { server: rig.server, pages: rig.pages });
      free.browser = await startChromium({ hosts: [netns.host], args: argsFor(rig) });
      await netns.loseOneIn(1);
    },
    { timeout: 90_000 },
  );
  after(async () => {
    await free?.browser?.stop();
    await rig?.stop();
    await netns?.stop();
  });
  afterEach(async () => {
    await netns.stallTcp();
    await free.clear();
    await rig.clear();
  });

  const figure = async (name) => {
    const text = await (await fetch(`${rig.server.admin}/metrics`)).text();
    const lines = text.split("\n").filter((line) => line.startsWith(name));
    return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  };
  const protocol = async (peer) => (await peer.call("selectedPair"))?.protocol;

  for (const raw of [true, false]) {
    test(`${raw ? "plain clients" : "partytracks"} send and receive over TCP`, async () => {
      const [alice, bob] = [await rig.peer("alice", { raw }), await rig.peer("bob", { raw })];
      const [camera, microphone] = [await alice.push("camera", picture(61)), await alice.push("microphone", tone(660))];
      const [seen, heard] = [await bob.pull(camera.metadata), await bob.pull(microphone.metadata)];
      await seen.expectPicture(61, { frames: 60, ms: 30_000 });
      await heard.expectTone(660);
      for (const peer of [alice, bob]) assert.equal(await protocol(peer), "tcp", peer.name);
      const port = rig.server.udpPort;
      assert.ok((await bob.call("selectedPair")).remote.endsWith(`:${port}`), "all shards share the port");
      assert.ok((await figure("ringcast_tcp_bytes_total{direction=\"egress\"}")) > 10_000);
    });
  }

  test("clients over TCP and clients over UDP see each other", async () => {
    const [alice, bob] = [await rig.peer("alice"), await free.peer("bob")];
    const [camera, other] = [await alice.push("camera", picture(62)), await bob.push("other", picture(63))];
    const [seenByBob, seenByAlice] = [await bob.pull(camera.metadata), await alice.pull(other.metadata)];
    await seenByBob.expectPicture(62, { frames: 60, ms: 30_000 });
    await seenByAlice.expectPicture(63, { frames: 60, ms: 30_000 });
    assert.deepEqual([await protocol(alice), await protocol(bob)], ["tcp", "udp"]);
  });

  test("a reader over TCP that stands still disturbs no viewer over UDP, and its connection is ended", async (t) => {
    const publisher = await free.peer("publisher");
    const [viewer, stalled] = [await free.peer("viewer"), await rig.peer("stalled")];
    const camera = await publisher.push("camera", picture(64, { width: 1280, height: 720, fps: 30 }));
    const [seen, stuck] = [await viewer.pull(camera.metadata), await stalled.pull(camera.metadata)];
    await Promise.all([seen.expectPicture(64), stuck.expectPicture(64)]);
    const ended = await figure("ringcast_tcp_closed_total");
    await netns.stallTcp(rig.server.udpPort);
    const [gap] = await longestGaps([seen], () =>
      until("the connection to be ended", async () => {
        const now = await figure("ringcast_tcp_closed_total");
        return { done: now > ended, seen: { ended: now, dropped: await figure("ringcast_dropped_total{reason=\"slow_reader\"}") } };
      }, { ms: 90_000, every: 500 }),
    );
    t.diagnostic(`longest time without a frame at the viewer over UDP: ${Math.round(gap)} ms`);
    await seen.expectPicture(64, { frames: 30 });
    const { lost } = await seen.sample();
    assert.equal(lost ?? 0, 0, "the viewer over UDP lost nothing");
  });
});
