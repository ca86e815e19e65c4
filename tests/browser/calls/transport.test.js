// What happens below the tracks: new ICE credentials, other addresses, lost packets, lost sessions, several shards.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { longestGaps, picture, tone, useRig } from "../lib/rig.js";

const rig = useRig({ before, after, afterEach }, { server: { shards: 2 } });

const ufrag = (sdp) => sdp.match(/^a=ice-ufrag:(.*)$/m)[1].trim();

/** Media runs by a pair of the credentials last exchanged, and these are not those of `before`. */
async function expectNewCredentials(peer, before) {
  const { local, remote } = await peer.call("sdp");
  assert.notEqual(ufrag(local), ufrag(before.local));
  assert.notEqual(ufrag(remote), ufrag(before.remote), "the server must answer with new credentials too");
  await peer.until("use the new credentials", async () => {
    const pair = await peer.call("selectedPair");
    return { done: pair?.localUfrag === ufrag(local) && pair.remoteUfrag === ufrag(remote), seen: { pair, local: ufrag(local), remote: ufrag(remote) } };
  });
}

for (const [way, label] of [["renegotiate", null], ["a repeated push", "camera"]]) {
  test(`an ICE restart by ${way} keeps what is sent and what is received`, async (t) => {
    const [alice, bob] = [await rig().peer("alice", { raw: true }), await rig().peer("bob")];
    const [camera, other] = [await alice.push("camera", picture(80)), await bob.push("other", picture(81))];
    const [seenByBob, seenByAlice] = [await bob.pull(camera.metadata), await alice.pull(other.metadata)];
    await seenByBob.expectPicture(80);
    await seenByAlice.expectPicture(81);
    for (let round = 0; round < 2; round += 1) {
      const before = await alice.call("sdp");
      const gaps = await longestGaps([seenByBob, seenByAlice], async () => {
        await alice.call("restartIce", label);
        await expectNewCredentials(alice, before);
        await Promise.all([seenByBob.expectPicture(80, { frames: 20 }), seenByAlice.expectPicture(81, { frames: 20 })]);
      });
      t.diagnostic(`longest time without a frame: ${gaps[0]} ms sent, ${gaps[1]} ms received`);
    }
  });
}

test("an ICE restart of a connection that only receives keeps its picture", async (t) => {
  const [alice, bob] = [await rig().peer("alice"), await rig().peer("bob", { raw: true })];
  const camera = await alice.push("camera", picture(82));
  const seen = await bob.pull(camera.metadata);
  await seen.expectPicture(82);
  const before = await bob.call("sdp");
  const [gap] = await longestGaps([seen], async () => {
    await bob.call("restartIce");
    await expectNewCredentials(bob, before);
    await seen.expectPicture(82, { frames: 30 });
  });
  t.diagnostic(`longest time without a frame: ${gap} ms received`);
});

test("publishers and viewers on different shards see each other", async () => {
  const people = [];
  for (let index = 0; index < 6; index += 1) people.push(await rig().peer(`person${index}`));
  const cameras = await Promise.all(people.map((person, index) => person.push("camera", picture(120 + index))));
  const voices = await Promise.all(people.map((person, index) => person.push("microphone", tone(450 + 100 * index))));
  await Promise.all(people.map((person) => person.connected()));
  const pairs = await Promise.all(people.map((person) => person.call("selectedPair")));
  const ports = new Set(pairs.map(({ remote }) => remote.split(":").at(-1)));
  assert.equal(ports.size, 2, `both shards are in use: ${[...ports]}`);
  const expectations = people.flatMap((person, index) =>
    cameras.flatMap((camera, other) =>
      other === index
        ? []
        : [
            person.pull(camera.metadata).then((pulled) => pulled.expectPicture(120 + other, { ms: 30_000 })),
            person.pull(voices[other].metadata).then((pulled) => pulled.expectTone(450 + 100 * other, { ms: 30_000 })),
          ],
    ),
  );
  await Promise.all(expectations);
});

test("a session the server has lost is replaced by the client, and everybody sees everybody again", async () => {
  const [alice, bob] = [await rig().peer("alice"), await rig().peer("bob")];
  const [camera, other] = [await alice.push("camera", picture(84)), await bob.push("other", picture(85))];
  const [seenByBob, seenByAlice] = [await bob.pull(camera.metadata), await alice.pull(other.metadata)];
  await seenByBob.expectPicture(84);
  await seenByAlice.expectPicture(85);
  const lost = await alice.sessionId();
  const { status } = await rig().server.loseSession(lost);
  assert.ok(status < 300, `status ${status}`);
  assert.equal((await rig().server.api("GET", `sessions/${lost}`)).status, 410);
  const fresh = await alice.until("have another session and its track published", async () => {
    const metadata = await alice.call("metadata", "camera");
    return { done: metadata?.sessionId && metadata.sessionId !== lost, seen: metadata, value: metadata };
  }, { ms: 45_000 });
  await seenByAlice.expectPicture(85, { ms: 20_000 });
  // The application tells the others where the track is now.
  await bob.call("repoint", seenByBob.label, fresh);
  await seenByBob.expectPicture(84, { ms: 20_000 });
});
