// What is inside the tracks: screens, mute, other devices, simulcast layers, and payloads the server cannot read.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { picture, tone, useRig } from "../lib/rig.js";
import { until } from "../lib/until.js";

const rig = useRig({ before, after, afterEach });

test("a shared screen is seen", async () => {
  const [alice, bob] = [await rig().peer("alice", { apart: true }), await rig().peer("bob")];
  const screen = await alice.push("screen", { kind: "screen" });
  const pulled = await bob.pull(screen.metadata);
  await pulled.expectSample("see a screen", ({ frames, width }) => frames > 5 && width >= 640, { ms: 25_000 });
});

test("a muted microphone is silent and a muted camera black, until they are on again", async () => {
  const [alice, bob] = [await rig().peer("alice"), await rig().peer("bob")];
  const [camera, microphone] = await Promise.all([alice.push("camera", picture(25)), alice.push("microphone", tone(650))]);
  const [seen, heard] = await Promise.all([bob.pull(camera.metadata), bob.pull(microphone.metadata)]);
  await seen.expectPicture(25);
  await heard.expectTone(650);
  await alice.call("enable", "microphone", false);
  await alice.call("enable", "camera", false);
  await heard.expectSample("hear silence", ({ db }) => db < -80);
  await seen.expectPicture("black", { frames: 1 });
  await alice.call("enable", "microphone", true);
  await alice.call("enable", "camera", true);
  await heard.expectTone(650);
  await seen.expectPicture(25);
});

test("another microphone takes the place of the first without a call to the server", async () => {
  const [alice, bob] = [await rig().peer("alice", { apart: true }), await rig().peer("bob")];
  const devices = await alice.tab.page.evaluate(async () => {
    (await navigator.mediaDevices.getUserMedia({ audio: true })).getTracks().forEach((track) => track.stop());
    return window.kit.microphones();
  });
  assert.ok(devices.length >= 2, `the browser offers ${devices.length} microphones`);
  const microphone = await alice.push("microphone", { kind: "audio", deviceId: devices[0] });
  const heard = await bob.pull(microphone.metadata);
  await heard.expectSample("hear the first", ({ energy }) => energy > 0);
  const calls = (await alice.call("history")).length;
  await alice.call("replace", "microphone", { kind: "audio", deviceId: devices[1] });
  const { energy } = await heard.sample();
  await heard.expectSample("hear the second", (now) => now.energy > energy + 1e-6);
  assert.equal((await alice.call("history")).length, calls);
});

test("another picture or tone takes the place of the first on the same track", async () => {
  const [alice, bob] = [await rig().peer("alice"), await rig().peer("bob")];
  const [camera, microphone] = await Promise.all([alice.push("camera", picture(26)), alice.push("microphone", tone(500))]);
  const [seen, heard] = await Promise.all([bob.pull(camera.metadata), bob.pull(microphone.metadata)]);
  await seen.expectPicture(26);
  await heard.expectTone(500);
  await alice.call("replace", "camera", picture(27, { width: 480, height: 270 }));
  await alice.call("replace", "microphone", tone(1000));
  await seen.expectPicture(27);
  await heard.expectTone(1000);
  assert.equal((await seen.sample()).arrivals, 1, "the receiver keeps its track");
});

for (const codec of ["VP8", "VP9", "H264", "AV1"]) {
  test(`video in ${codec} is seen, also by one who comes late`, async () => {
    const [alice, bob, carol] = [await rig().peer("alice", { raw: true }), await rig().peer("bob"), await rig().peer("carol")];
    const camera = await alice.push("camera", picture(28, { codec }));
    const seen = await bob.pull(camera.metadata);
    await seen.expectPicture(28);
    const late = await carol.pull(camera.metadata);
    await late.expectPicture(28);
    for (const pulled of [seen, late]) assert.equal((await pulled.sample()).codec, `video/${codec}`);
  });
}

for (const codec of ["opus", "PCMU", "PCMA", "red"]) {
  test(`sound in ${codec} is heard`, async () => {
    const [alice, bob] = [await rig().peer("alice", { raw: true }), await rig().peer("bob")];
    const microphone = await alice.push("microphone", { ...tone(750), codec });
    const heard = await bob.pull(microphone.metadata);
    await heard.expectTone(750);
    // The browser names what is inside of redundancy; the server names what came.
    const { reply } = await rig().server.api("GET", `ext/sessions/${microphone.metadata.sessionId}/stats`);
    assert.equal(reply.statistics.local[0].codec.toLowerCase(), codec.toLowerCase());
  });
}

test("redundant sound is heard by those who take none of it", async () => {
  const [alice, bob, carol] = [await rig().peer("alice", { raw: true }), await rig().peer("bob", { raw: true }), await rig().peer("carol", { raw: true })];
  const microphone = await alice.push("microphone", { ...tone(750), codec: "red" });
  const [plain, redundant] = [await bob.pull(microphone.metadata, { without: "red" }), await carol.pull(microphone.metadata)];
  for (const heard of [plain, redundant]) await heard.expectTone(750);
  const { local } = await bob.call("sdp");
  assert.doesNotMatch(local, / red\/48000/);
  const [with_, without] = [await redundant.sample(), await plain.sample()];
  assert.ok(with_.bytes / with_.packets > 1.5 * (without.bytes / without.packets), `${JSON.stringify(with_)} ${JSON.stringify(without)}`);
  assert.equal(without.lost, 0);
});

test("payloads encrypted by insertable streams pass untouched", async () => {
  const extraConfig = { encodedInsertableStreams: true };
  const alice = await rig().peer("alice", { raw: true, extraConfig });
  const bob = await rig().peer("bob", { raw: true, extraConfig });
  const stranger = await rig().peer("stranger", { raw: true });
  const camera = await alice.push("camera", { ...picture(28), scrambled: true });
  const microphone = await alice.push("microphone", { ...tone(750), scrambled: true });
  const seen = await bob.pull(camera.metadata, { scrambled: true });
  const heard = await bob.pull(microphone.metadata, { scrambled: true });
  await seen.expectPicture(28, { frames: 20 });
  await heard.expectTone(750);
  // Whoever lacks the transform gets the packets and makes nothing of them.
  const opaque = await stranger.pull(camera.metadata);
  await opaque.expectSample("get packets", ({ packets }) => packets > 20);
  assert.notEqual((await opaque.sample()).picture, 28);
});

const LAYERS = [
  { rid: "f", scaleResolutionDownBy: 1, maxBitrate: 900_000 },
  { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 300_000 },
  { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 100_000 },
];
const wide = (identity) => picture(identity, { width: 960, height: 540, fps: 12 });
const isWidth = (wanted) => ({ width, picture: shown }) => width === wanted && shown !== null;

test("each viewer gets the simulcast layer it pins, and another one when it asks", async () => {
  const alice = await rig().peer("alice", { apart: true });
  const camera = await alice.push("camera", { ...wide(30), encodings: LAYERS });
  await until("three layers to be sent", async () => {
    const layers = await alice.call("sending", "camera");
    return { done: ["f", "h", "q"].every((rid) => layers[rid]?.frames > 0), seen: layers };
  }, { ms: 30_000 });
  const viewers = {};
  for (const [rid, width] of [["f", 960], ["h", 480], ["q", 240]]) {
    const viewer = await rig().peer(`viewer-${rid}`);
    viewers[rid] = await viewer.pull(camera.metadata, { rid });
    await viewers[rid].expectPicture(30);
    await viewers[rid].expectSample(`get layer ${rid}`, isWidth(width));
  }
  await viewers.f.peer.call("prefer", viewers.f.label, "q");
  await viewers.q.peer.call("prefer", viewers.q.label, "f");
  await viewers.f.expectSample("come down to q", isWidth(240));
  await viewers.q.expectSample("come up to f", isWidth(960));
  await viewers.h.expectSample("stay at h", isWidth(480));
  for (const viewer of Object.values(viewers)) await viewer.expectPicture(30, { frames: 10 });
});

test("a layer that is switched off stays off whatever is negotiated", async () => {
  const [alice, bob] = [await rig().peer("alice", { raw: true, apart: true }), await rig().peer("bob")];
  const encodings = LAYERS.toReversed().map((layer) => ({ ...layer, active: layer.rid !== "f" }));
  const camera = await alice.push("camera", { ...wide(33), encodings });
  const expected = { q: true, h: true, f: false };
  assert.deepEqual(await alice.call("active", "camera"), expected, "after the first answer");
  const other = await alice.push("other", picture(36));
  assert.deepEqual(await alice.call("active", "camera"), expected, "after another push");
  const mirror = await alice.pull(other.metadata);
  await mirror.expectPicture(36);
  assert.deepEqual(await alice.call("active", "camera"), expected, "after an offer of the server");
  const seen = await bob.pull(camera.metadata);
  await seen.expectPicture(33);
  await seen.expectSample("get a layer that is on", ({ width }) => width === 480 || width === 240);
  const layers = await alice.call("sending", "camera");
  assert.equal(layers.f?.frames ?? 0, 0, JSON.stringify(layers));
  // Its section carries nothing for a while, and keeps its layers.
  await alice.call("unpush", "camera", { keepSource: true, force: true });
  await alice.push("third", picture(37));
});

test("a viewer who asks for no layer gets one that goes on", async () => {
  const [alice, bob] = [await rig().peer("alice", { apart: true }), await rig().peer("bob")];
  const camera = await alice.push("camera", { ...wide(31), encodings: LAYERS });
  const seen = await bob.pull(camera.metadata);
  await seen.expectPicture(31, { frames: 30, ms: 30_000 });
  await bob.call("prefer", seen.label, "");
  await seen.expectPicture(31, { frames: 20 });
});

test("a layer preference on a track without simulcast is an error of that item only", async () => {
  const [alice, bob] = [await rig().peer("alice", { raw: true }), await rig().peer("bob", { raw: true })];
  const camera = await alice.push("camera", picture(32));
  const seen = await bob.pull(camera.metadata);
  await seen.expectPicture(32);
  const tracks = [{ location: "remote", ...camera.metadata, mid: seen.mid, simulcast: { preferredRid: "q" } }];
  const { status, reply } = await bob.call("api", "PUT", `sessions/${await bob.sessionId()}/tracks/update`, { tracks });
  assert.equal(status, 200);
  assert.equal(reply.tracks[0].errorCode, "update_track_error");
  assert.match(reply.tracks[0].errorDescription, /not configured for simulcast/);
  await seen.expectPicture(32);
});

test("tracks/update puts another publication on the same transceiver without any SDP", async () => {
  const [alice, bob] = [await rig().peer("alice"), await rig().peer("bob", { raw: true })];
  const [first, second] = [await alice.push("first", picture(34)), await alice.push("second", picture(35))];
  const seen = await bob.pull(first.metadata);
  await seen.expectPicture(34);
  const tracks = [{ location: "remote", sessionId: second.metadata.sessionId, trackName: second.metadata.trackName, mid: seen.mid }];
  const { status, reply } = await bob.call("api", "PUT", `sessions/${await bob.sessionId()}/tracks/update`, { tracks });
  assert.equal(status, 200);
  assert.equal(reply.tracks[0].errorCode, undefined, JSON.stringify(reply));
  await seen.expectPicture(35);
});
