// What is expected of a client that is no browser on every interface of the server, beside Chromium.

import assert from "node:assert/strict";
import { test } from "node:test";
import { DataPeer } from "./datapeer.js";
import { encoded } from "./frames.js";
import { picture, tone } from "./rig.js";

/**
 * Registers the tests of the client that `start(role, ...args)` starts; `pion/main.go` says what its roles are. `keys` are
 * the kinds that its certificates may have besides the usual.
 */
export function expectations(name, rig, start, keys = []) {
  const onApi = (role, ...args) => start(role, rig().server.base, rig().server.secret, ...args);
  const receives = async (client) => {
    const seen = await client.line("see 20 frames", (line) => line.kind === "video" && line.frames >= 20, 30_000);
    assert.deepEqual(seen, { ...seen, width: 320, height: 180, codec: "video/VP8" });
    const heard = await client.line("hear 100 packets", (line) => line.kind === "audio" && line.frames >= 100, 30_000);
    assert.equal(heard.codec, "audio/opus");
  };
  const send = async (client) => client.say(await encoded((await rig().tab()).page, 700));

  for (const [how, role] of [["", "view"], ...keys.map((key) => [` with a key of ${key}`, `view:${key}`])]) {
    test(`${name} as a viewer${how} answers passive, and sees and hears Chromium`, async () => {
      const alice = await rig().peer("alice", { raw: true });
      const camera = await alice.push("camera", picture(8));
      await alice.push("microphone", tone(900));
      const publisher = camera.metadata.sessionId;
      const viewer = onApi(role, publisher, "camera", "microphone");
      await rig().explained(() => [publisher, ...viewer.told("sessionId")], async () => {
        // One after the other, each in its own time: a key of RSA takes seconds to make where others compile.
        await viewer.line("begin its session", (line) => line.sessionId, 30_000);
        await viewer.line("answer both offers", () => viewer.told("setup").length === 2, 30_000);
        await viewer.connected(30_000);
        await receives(viewer);
        assert.deepEqual(viewer.told("setup"), ["passive", "passive"]);
      });
    });
  }

  test(`${name} as a publisher is seen and heard by Chromium`, async () => {
    const publisher = onApi("publish");
    await send(publisher);
    const { sessionId } = await publisher.line("publish", (line) => line.sessionId);
    await publisher.connected();
    const bob = await rig().peer("bob");
    const seen = await bob.pull({ location: "remote", sessionId, trackName: "camera" });
    const heard = await bob.pull({ location: "remote", sessionId, trackName: "microphone" });
    await seen.expectPicture(0, { frames: 20, ms: 30_000 });
    await heard.expectTone(700, { ms: 30_000 });
  });

  test(`${name} exchanges data channel messages with Chromium by establish`, async () => {
    const client = await exchangeMessages(rig(), (...args) => onApi("channels", ...args));
    assert.equal(client.lines.find((line) => line.setup).setup, "passive");
  });

  test(`${name}'s stream by WHIP is seen and heard by Chromium`, async () => {
    const publisher = start("whip", rig().server.whip("native"), rig().server.secret);
    await send(publisher);
    await publisher.connected();
    const { video, audio } = await rig().whep("native");
    await video.expectPicture(0, { frames: 20, ms: 30_000 });
    await audio.expectTone(700, { ms: 30_000 });
    await publisher.stop();
    const { reply } = await rig().server.api("GET", "ext/streams");
    assert.deepEqual(reply.streams, [{ stream: "native", viewers: 1 }], "its DELETE ended the stream");
  });

  test(`${name} sees and hears Chromium's stream by WHEP`, async () => {
    await rig().whip("page", [picture(8), tone(900)]);
    await receives(start("whep", rig().server.whep("page"), rig().server.secret));
  });
}

/** Has a client exchange texts and long messages with Chromium: the one that `start(session, own channel, theirs)` starts. */
export async function exchangeMessages(rig, start) {
  const page = await DataPeer.open((await rig.tab()).page, rig.server);
  const id = await page.publish("of Chromium");
  await page.active("of Chromium", id);
  const client = start(page.session, "of the client", "of Chromium");
  const { sessionId: session } = await client.line("open its channels", (line) => line.open);
  await page.active("of the client", await page.subscribe({ session }, "of the client"));
  client.say({ text: "hello" });
  client.say({ bytes: 60_000 });
  const [text, binary] = await page.got("of the client", 2);
  assert.deepEqual([text.content, binary.text, binary.length], ["hello", false, 60_000]);
  await page.run("send", "of Chromium", "hello yourself");
  await page.run("sendBytes", "of Chromium", 60_000, 5);
  await client.line("get the text", (line) => line.text === "hello yourself");
  await client.line("get the bytes", (line) => line.bytes === 60_000);
  await page.run("close");
  return client;
}
