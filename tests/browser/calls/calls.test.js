// Calls as applications make them: one to one, all to all, one to many, and what may go wrong around them.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { picture, tone, useRig } from "../lib/rig.js";
import { until } from "../lib/until.js";

const rig = useRig({ before, after, afterEach });

test("one to one: each sees and hears the other, and a bystander receives nothing", async () => {
  const [alice, bob, eve] = [await rig().peer("alice"), await rig().peer("bob"), await rig().peer("eve")];
  const [camera, microphone] = await Promise.all([alice.push("camera", picture(7)), alice.push("microphone", tone(440))]);
  const [reply, voice] = await Promise.all([bob.push("camera", picture(100)), bob.push("microphone", tone(880))]);
  const own = await eve.push("camera", picture(33));
  const [atBob, heardByBob] = await Promise.all([bob.pull(camera.metadata), bob.pull(microphone.metadata)]);
  const [atAlice, heardByAlice] = await Promise.all([alice.pull(reply.metadata), alice.pull(voice.metadata)]);
  await atBob.expectPicture(7);
  await atAlice.expectPicture(100);
  await heardByBob.expectTone(440);
  await heardByAlice.expectTone(880);
  await alice.expectNothingElse(2);
  await bob.expectNothingElse(2);
  await eve.connected();
  await eve.expectNothingElse(0);
  assert.match(own.metadata.sessionId, /^[0-9a-f]{32}$/);
});

test("all to all: four people see all the others, each on one connection", async () => {
  const people = await Promise.all([1, 2, 3, 4].map((index) => rig().peer(`person${index}`)));
  const cameras = await Promise.all(people.map((person, index) => person.push("camera", picture(40 + index))));
  const voices = await Promise.all(people.map((person, index) => person.push("microphone", tone(500 + 150 * index))));
  const views = [];
  for (const [index, person] of people.entries()) {
    const others = people.map((_, other) => other).filter((other) => other !== index);
    const pulls = others.flatMap((other) => [
      person.pull(cameras[other].metadata).then((pulled) => views.push(() => pulled.expectPicture(40 + other))),
      person.pull(voices[other].metadata).then((pulled) => views.push(() => pulled.expectTone(500 + 150 * other))),
    ]);
    await Promise.all(pulls);
  }
  assert.equal(views.length, 24);
  await Promise.all(views.map((expectation) => expectation()));
  for (const person of people) await person.expectNothingElse(6);
});

test("one to many: twenty viewers see one publisher", async () => {
  const publisher = await rig().peer("publisher", { apart: true });
  const [camera, microphone] = await Promise.all([publisher.push("camera", picture(150)), publisher.push("microphone", tone(700))]);
  const viewers = [];
  for (let index = 0; index < 20; index += 1) viewers.push(await rig().peer(`viewer${index}`));
  const pulled = await Promise.all(viewers.map((viewer) => Promise.all([viewer.pull(camera.metadata), viewer.pull(microphone.metadata)])));
  await Promise.all(pulled.map(([seen]) => seen.expectPicture(150, { ms: 30_000 })));
  await Promise.all(pulled.map(([, heard]) => heard.expectTone(700, { ms: 30_000 })));
  for (const viewer of viewers) await viewer.expectNothingElse(2);
});

test("a pull from before the publisher sends shows the picture once it does", async () => {
  const [alice, bob] = [await rig().peer("alice", { raw: true }), await rig().peer("bob")];
  const metadata = { location: "remote", sessionId: await alice.sessionId(), trackName: "camera" };
  const pulled = await bob.beginPull(metadata);
  await until("the server to be asked for the track", async () => (await bob.call("history")).some(({ endpoint }) => endpoint?.includes("tracks/new")));
  await alice.push("camera", picture(12));
  await pulled.expectPicture(12, { ms: 25_000 });
});

test("a track that its publisher closes stops, and the publisher's other track goes on", async () => {
  const [alice, bob] = [await rig().peer("alice"), await rig().peer("bob")];
  const [first, second] = [await alice.push("first", picture(20)), await alice.push("second", picture(21))];
  const [seenFirst, seenSecond] = [await bob.pull(first.metadata), await bob.pull(second.metadata)];
  await seenFirst.expectPicture(20);
  await seenSecond.expectPicture(21);
  // The later track goes, so that the connection's first m-line stays as it is; breakout.test.js closes that one.
  await alice.call("unpush", "second");
  await seenSecond.expectSilence(seenFirst, 20);
  await until("the closed track to be inactive", async () => {
    const { reply } = await rig().server.api("GET", `sessions/${await bob.sessionId()}`);
    const item = reply?.tracks?.find(({ trackName }) => trackName === second.metadata.trackName);
    return { done: item?.status === "inactive", seen: reply };
  });
});

test("a publisher who goes away without a word leaves the others undisturbed", async () => {
  const [alice, carol, bob] = [await rig().peer("alice"), await rig().peer("carol"), await rig().peer("bob")];
  const [lost, kept] = [await alice.push("camera", picture(60)), await carol.push("camera", picture(61))];
  const [seenLost, seenKept] = [await bob.pull(lost.metadata), await bob.pull(kept.metadata)];
  await seenLost.expectPicture(60);
  await seenKept.expectPicture(61);
  await alice.close();
  await seenLost.expectSilence(seenKept, 61);
  await seenKept.expectPicture(61, { frames: 20 });
});

test("a wrong secret is refused in JSON, and no session comes of it", async () => {
  const { server } = rig();
  for (const [method, target] of [["POST", "sessions/new"], ["POST", "sessions/00/tracks/new"], ["GET", "sessions/00"]]) {
    const { status, reply } = await server.api(method, target, { token: "f".repeat(64), body: method === "GET" ? undefined : {} });
    assert.equal(status, 401, `${method} ${target}`);
    assert.equal(reply?.errorCode, "unauthorized", `${method} ${target}`);
  }
  await assert.rejects(rig().peer("mallory", { raw: true, token: "0".repeat(64) }), /401/);
});

test("sixty-four tracks in one call are all published and all seen in one pull", async () => {
  const [alice, bob] = [await rig().peer("alice", { raw: true, apart: true }), await rig().peer("bob", { raw: true, apart: true })];
  const specs = Array.from({ length: 64 }, (_, index) => ({ label: `track${index}`, ...picture(index, { width: 96, height: 64, fps: 3 }) }));
  const results = await alice.call("pushMany", specs);
  assert.equal(results.length, 64);
  assert.deepEqual(results.filter(({ errorCode, mid }) => errorCode || !mid), []);
  const pulled = await bob.pullMany(results);
  await Promise.all(pulled.map((one, index) => one.expectPicture(index, { frames: 2, ms: 60_000 })));
});

test("connection time: from nothing to the first decoded frame", async (t) => {
  const [alice, bob] = [await rig().peer("alice"), await rig().peer("bob")];
  // A camera's rate: the first frame of a newcomer is the publisher's next one.
  const camera = await alice.push("camera", picture(90, { fps: 30 }));
  const first = await bob.pull(camera.metadata);
  await first.expectPicture(90);
  const { page } = await rig().tab(false);
  const { base, secret: token } = rig().server;
  const times = [];
  for (let round = 0; round < 10; round += 1) {
    // Keyframe requests within 300 ms of each other are merged: newcomers of their own come further apart.
    await first.expectPicture(90, { frames: 20 });
    times.push(await page.evaluate(([api, metadata]) => window.kit.connectionTime(api, metadata), [{ base, token }, camera.metadata]));
  }
  times.sort((a, b) => a - b);
  const median = (times[4] + times[5]) / 2;
  t.diagnostic(`connection time: median ${median.toFixed(0)} ms, ${times[0].toFixed(0)} to ${times[9].toFixed(0)} ms, n=10`);
});
