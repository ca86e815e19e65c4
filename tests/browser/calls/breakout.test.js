// Tracks that come and go on one connection, as people move between rooms. A connection must neither grow
// with the number of moves nor die when the line that carries its transport is closed.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { picture, tone, useRig } from "../lib/rig.js";

const ROUNDS = 20;
const rig = useRig({ before, after, afterEach });
const mediaLines = (sdp) => (sdp.match(/^m=/gm) ?? []).length;

test("twenty moves between two rooms keep the number of m-lines bounded", async () => {
  const [north, south, visitor] = [await rig().peer("north"), await rig().peer("south"), await rig().peer("visitor")];
  const rooms = [];
  for (const [index, host] of [north, south].entries()) {
    const [camera, microphone] = await Promise.all([host.push("camera", picture(10 + index)), host.push("microphone", tone(600 + 300 * index))]);
    rooms.push({ camera, microphone, identity: 10 + index, hz: 600 + 300 * index });
  }
  const own = await visitor.push("camera", picture(99));
  const mirror = await north.pull(own.metadata);
  await mirror.expectPicture(99);
  let linesAfterThree = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const { camera, microphone, identity, hz } = rooms[round % 2];
    const [seen, heard] = await Promise.all([visitor.pull(camera.metadata), visitor.pull(microphone.metadata)]);
    await seen.expectPicture(identity, { frames: 2 });
    await heard.expectTone(hz);
    await visitor.call("unpull", seen.label);
    await visitor.call("unpull", heard.label);
    const lines = mediaLines((await visitor.call("sdp")).local);
    if (round === 3) linesAfterThree = lines;
    if (round > 3) assert.ok(lines <= linesAfterThree + 2, `round ${round}: ${lines} m-lines, ${linesAfterThree} at round 3`);
  }
  assert.equal((await visitor.call("sessions")).length, 1, "the visitor stays on its first session");
  await mirror.expectPicture(99);
});

test("pushes that come and go keep the number of m-lines bounded and are seen each time", async () => {
  const [alice, bob] = [await rig().peer("alice"), await rig().peer("bob")];
  const steady = await alice.push("steady", picture(1));
  const seenSteady = await bob.pull(steady.metadata);
  await seenSteady.expectPicture(1);
  for (let round = 0; round < ROUNDS; round += 1) {
    const guest = await alice.push(`guest${round}`, picture(110 + round));
    const seen = await bob.pull(guest.metadata);
    await seen.expectPicture(110 + round, { frames: 2 });
    await alice.call("unpush", guest.label);
    await bob.call("unpull", seen.label);
  }
  const lines = mediaLines((await alice.call("sdp")).local);
  assert.ok(lines <= 4, `alice has ${lines} m-lines after ${ROUNDS} rounds`);
  await seenSteady.expectPicture(1);
  assert.equal((await alice.call("sessions")).length, 1);
  assert.equal((await bob.call("sessions")).length, 1);
});

for (const raw of [false, true]) {
  const who = raw ? "a plain client" : "partytracks";
  test(`closing the first pushed track of ${who} leaves its other tracks going`, async () => {
    const [alice, bob] = [await rig().peer("alice", { raw }), await rig().peer("bob")];
    const first = await alice.push("first", picture(50));
    const [second, voice] = [await alice.push("second", picture(51)), await alice.push("voice", tone(900))];
    const [seenFirst, seenSecond, heard] = [await bob.pull(first.metadata), await bob.pull(second.metadata), await bob.pull(voice.metadata)];
    await seenFirst.expectPicture(50);
    await seenSecond.expectPicture(51);
    await alice.call("unpush", "first");
    await seenSecond.expectPicture(51, { frames: 15 });
    await heard.expectTone(900);
    const third = await alice.push("third", picture(52));
    await (await bob.pull(third.metadata)).expectPicture(52);
    await seenSecond.expectPicture(51, { frames: 10 });
    assert.equal((await alice.call("sessions")).length, 1, "alice stays on her first session");
  });

  test(`closing the first pulled track of ${who} leaves its other tracks going`, async () => {
    const [alice, bob] = [await rig().peer("alice"), await rig().peer("bob", { raw })];
    const [first, second] = [await alice.push("first", picture(53)), await alice.push("second", picture(54))];
    const [seenFirst, seenSecond] = [await bob.pull(first.metadata), await bob.pull(second.metadata)];
    await seenFirst.expectPicture(53);
    await seenSecond.expectPicture(54);
    await bob.call("unpull", seenFirst.label);
    await seenSecond.expectPicture(54, { frames: 15 });
    const third = await alice.push("third", picture(55));
    await (await bob.pull(third.metadata)).expectPicture(55);
    await seenSecond.expectPicture(54, { frames: 10 });
    assert.equal((await bob.call("sessions")).length, 1, "bob stays on his first session");
  });
}

test("a connection that receives and sends survives the closing of the track it began with", async () => {
  const [alice, bob] = [await rig().peer("alice"), await rig().peer("bob", { raw: true })];
  const camera = await alice.push("camera", picture(56));
  const own = await bob.push("own", picture(57));
  const [seen, mirror] = [await bob.pull(camera.metadata), await alice.pull(own.metadata)];
  await seen.expectPicture(56);
  await mirror.expectPicture(57);
  await bob.call("unpush", "own");
  await seen.expectPicture(56, { frames: 15 });
  const again = await bob.push("again", picture(58));
  await (await alice.pull(again.metadata)).expectPicture(58);
  await seen.expectPicture(56, { frames: 10 });
});

test("after its only pull has been closed, a connection takes a new pull by the server's offer", async () => {
  const [alice, bob] = [await rig().peer("alice"), await rig().peer("bob", { raw: true })];
  const [first, second] = [await alice.push("first", picture(70)), await alice.push("second", picture(71))];
  for (const force of [true, false, true]) {
    const seen = await bob.pull(first.metadata);
    await seen.expectPicture(70);
    await bob.call("unpull", seen.label, { force });
  }
  await (await bob.pull(second.metadata)).expectPicture(71);
  assert.ok(mediaLines((await bob.call("sdp")).remote) <= 4);
});

test("after its only push has been closed by force, a connection takes a new push by the client's offer", async () => {
  const [alice, bob] = [await rig().peer("alice", { raw: true }), await rig().peer("bob")];
  const first = await alice.push("first", picture(72));
  await (await bob.pull(first.metadata)).expectPicture(72);
  await alice.call("unpush", "first", { force: true });
  const second = await alice.push("second", picture(73));
  await (await bob.pull(second.metadata)).expectPicture(73);
});

test("after its only push has been closed by force, a connection takes a pull by the server's offer", async () => {
  const [alice, bob] = [await rig().peer("alice", { raw: true }), await rig().peer("bob")];
  const first = await alice.push("first", picture(74));
  const other = await bob.push("other", picture(75));
  await (await bob.pull(first.metadata)).expectPicture(74);
  await alice.call("unpush", "first", { force: true });
  await (await alice.pull(other.metadata)).expectPicture(75);
});

test("the only pull of a connection gives way to its successor without a new session", async () => {
  const [alice, bob] = [await rig().peer("alice"), await rig().peer("bob")];
  const [first, second] = [await alice.push("first", picture(76)), await alice.push("second", picture(77))];
  const seen = await bob.pull(first.metadata);
  await seen.expectPicture(76);
  await bob.call("repoint", seen.label, second.metadata);
  await seen.expectPicture(77);
  await bob.call("repoint", seen.label, first.metadata);
  await seen.expectPicture(76);
});
