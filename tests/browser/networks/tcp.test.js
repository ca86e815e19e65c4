// Clients whose network lets no UDP through: media over TCP, alone and beside clients with UDP. The browser without UDP
// lives in a network namespace of its own; where this machine does not allow one, the tests are skipped.

import assert from "node:assert/strict";
import net from "node:net";
import { after, afterEach, before, describe, test } from "node:test";
import { startChromium } from "../lib/chromium.js";
import { canMakeNetns, makeNetns } from "../lib/netns.js";
import { Rig, longestGaps, picture, tone } from "../lib/rig.js";
import { until } from "../lib/until.js";

const skip = (await canMakeNetns()) ? false : "network namespaces are not allowed here";

/** Frames of RFC 4571 2. */
const framed = (bytes) => Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);

/** A connectivity check for a session whose password is not known (RFC 8445 7.1.1, RFC 8489 14.3 and 14.5). */
function falseCheck(ufrag) {
  const name = Buffer.from(`${ufrag}:them`);
  const attribute = (type, value) => {
    const bytes = Buffer.alloc(4 + Math.ceil(value.length / 4) * 4);
    bytes.writeUInt16BE(type, 0);
    bytes.writeUInt16BE(value.length, 2);
    value.copy(bytes, 4);
    return bytes;
  };
  const priority = Buffer.from("6e7f1eff", "hex");
  const attributes = Buffer.concat([attribute(0x0006, name), attribute(0x0024, priority), attribute(0x0008, Buffer.alloc(20, 7))]);
  const header = Buffer.from(`00010000${"2112a442"}${"0a".repeat(12)}`, "hex");
  header.writeUInt16BE(attributes.length, 2);
  return Buffer.concat([header, attributes]);
}

/** Somebody who connects, says these bytes, and then neither speaks nor leaves. */
class Stranger {
  isEnded = false;

  constructor({ host, port }, bytes) {
    const end = () => (this.isEnded = true);
    this.socket = net.connect({ host, port, allowHalfOpen: true }, () => bytes.length > 0 && this.socket.write(bytes));
    // Whoever is refused at once may see a reset.
    this.socket.on("end", end).on("error", end).resume();
  }

  leave() {
    this.socket.destroy();
  }
}

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

  const figure = (name) => rig.server.metric(name);
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
      await until("the bytes to be counted", async () => (await figure("ringcast_tcp_bytes_total{direction=\"egress\"}")) > 10_000);
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

  test("half-open connections are bounded, ended for a counted reason, and disturb no call over TCP", async (t) => {
    const [alice, bob] = [await rig.peer("alice", { raw: true }), await free.peer("bob")];
    const [camera, other] = [await alice.push("camera", picture(65)), await bob.push("other", picture(66))];
    const [seenByBob, seenByAlice] = [await bob.pull(camera.metadata), await alice.pull(other.metadata)];
    await Promise.all([seenByBob.expectPicture(65), seenByAlice.expectPicture(66)]);
    const { remote } = await alice.call("sdp");
    const known = falseCheck(remote.match(/^a=ice-ufrag:(.*)$/m)[1].trim());
    const refused = (reason) => `ringcast_tcp_refused_total{reason="${reason}"}`;
    const closed = (reason) => `ringcast_tcp_closed_total{reason="${reason}"}`;
    const cases = [
      ["a length that is too large", Buffer.from([0xff, 0xff]), refused("oversize")],
      ["another protocol", Buffer.from("GET / HTTP/1.1\r\n\r\n"), refused("oversize")],
      ["an empty frame", framed(Buffer.alloc(0)), refused("foreign")],
      ["a check for nobody", framed(falseCheck("nobody")), refused("foreign")],
      ["half a length", Buffer.from([0]), refused("silent")],
      ["half a frame", framed(known).subarray(0, 40), refused("silent")],
      ["a false check and no more", framed(known), closed("unproven")],
      ["a false check and half a frame", Buffer.concat([framed(known), Buffer.from([1, 0, 1, 2, 3])]), closed("unproven")],
      ["a false check and empty frames", Buffer.concat([framed(known), Buffer.alloc(1000)]), closed("unproven")],
      ["a false check and a length that is too large", Buffer.concat([framed(known), Buffer.from([0xff, 0xff, 1])]), closed("oversize")],
    ];
    // Of one address, a quarter of `limits.tcp_connections_per_address` may be silent at the same time. How many of the
    // crowd are refused beyond that depends on when the others speak, and a browser may leave without a word.
    const [CROWD, SILENT] = [200, 256 / 4];
    const [address, silent] = [refused("address"), refused("silent")];
    const expected = new Map();
    for (const [, , name] of cases) if (name !== silent) expected.set(name, (expected.get(name) ?? 0) + 1);
    const names = [...expected.keys(), address, silent, "ringcast_tcp_connections"];
    const figures = async () => Object.fromEntries(await Promise.all(names.map(async (name) => [name, await figure(name)])));
    // Connections that the browsers have tried and do not need end by and by.
    await until("the connection of the one call over TCP to be the only one", async () => {
      const seen = await figure("ringcast_tcp_connections");
      return { done: seen === 1, seen };
    }, { ms: 60_000 });
    const before = await figures();
    const [host, port] = [netns.host, rig.server.udpPort];
    const strangers = [];
    try {
      const gaps = await longestGaps([seenByBob, seenByAlice], async () => {
        for (const [, bytes] of cases) strangers.push(new Stranger({ host, port }, bytes));
        for (let index = 0; index < CROWD; index += 1) strangers.push(new Stranger({ host, port }, Buffer.alloc(0)));
        // While they stand there, somebody from another address is let in.
        const carol = await rig.peer("carol");
        await (await carol.pull(camera.metadata)).expectPicture(65, { frames: 20 });
        assert.equal(await protocol(carol), "tcp");
        await carol.close();
        await until("all strangers to be ended", async () => {
          const left = strangers.flatMap(({ isEnded }, index) => (isEnded ? [] : [cases[index]?.[0] ?? "silent"]));
          return { done: left.length === 0, seen: left };
        }, { ms: 40_000, every: 250 });
      });
      t.diagnostic(`longest time without a frame: ${gaps.map(Math.round)} ms`);
      const counts = await until("all of them to be counted", async () => {
        const now = await figures();
        const by = Object.fromEntries(names.map((name) => [name, now[name] - before[name]]));
        const isExact = [...expected].every(([name, wanted]) => by[name] === wanted);
        const isBounded = by[address] >= CROWD + 2 - SILENT && by[address] + by[silent] >= CROWD + 2;
        return { done: isExact && isBounded && by.ringcast_tcp_connections === 0, seen: by, value: by };
      }, { ms: 60_000 });
      t.diagnostic(JSON.stringify(counts));
    } finally {
      strangers.forEach((stranger) => stranger.leave());
    }
    await Promise.all([seenByBob.expectPicture(65), seenByAlice.expectPicture(66)]);
    for (const pulled of [seenByBob, seenByAlice]) assert.equal((await pulled.sample()).lost ?? 0, 0, `${pulled.peer.name} lost nothing`);
    assert.equal(await protocol(alice), "tcp");
  });
});
