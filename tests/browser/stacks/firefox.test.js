// Firefox ESR and Chromium in one call, both ways. Skipped where Firefox is not installed.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, afterEach, before, describe, test } from "node:test";
import { FAKE_MICROPHONE_HZ, FIREFOX, startFirefox } from "../lib/firefox.js";
import { DataPeer } from "../lib/datapeer.js";
import { picture, tone, useRig } from "../lib/rig.js";

const skip = existsSync(FIREFOX) ? false : `${FIREFOX} is not there`;

describe("Firefox", { skip }, () => {
  const rig = useRig({ before, after, afterEach });
  let firefox;
  let page;
  before(
    async () => {
      firefox = await startFirefox();
      page = await firefox.tab(rig().pages.url);
    },
    { timeout: 120_000 },
  );
  after(() => firefox?.stop());

  test("sees and hears Chromium, and is seen and heard there", async () => {
    const [fox, bob] = [await rig().peer("fox", { page }), await rig().peer("bob")];
    const camera = await fox.push("camera", picture(36));
    const microphone = await fox.push("microphone", { kind: "audio" });
    const [reply, voice] = await Promise.all([bob.push("camera", picture(37)), bob.push("microphone", tone(800))]);
    const seenByFox = await fox.pull(reply.metadata);
    const heardByFox = await fox.pull(voice.metadata);
    const [seenByBob, heardByBob] = await Promise.all([bob.pull(camera.metadata), bob.pull(microphone.metadata)]);
    await seenByBob.expectPicture(36, { ms: 30_000 });
    await seenByFox.expectPicture(37, { ms: 30_000 });
    await heardByBob.expectTone(FAKE_MICROPHONE_HZ, { ms: 30_000 });
    await heardByFox.expectSound({ ms: 30_000 });
  });

  test("as a viewer only, connects by the server's offer and changes what it pulls", async () => {
    const [fox, bob] = [await rig().peer("fox", { page }), await rig().peer("bob")];
    const [first, second] = [await bob.push("first", picture(38)), await bob.push("second", picture(39))];
    const seen = await fox.pull(first.metadata);
    await seen.expectPicture(38, { ms: 30_000 });
    const other = await fox.pull(second.metadata);
    await fox.call("unpull", seen.label);
    await other.expectPicture(39, { frames: 15, ms: 30_000 });
  });

  test("publishes by WHIP what Chromium plays by WHEP", async () => {
    await rig().whip("fox", [picture(41), { kind: "audio" }], { page });
    const { video, audio } = await rig().whep("fox");
    await video.expectPicture(41, { frames: 20, ms: 30_000 });
    await audio.expectTone(FAKE_MICROPHONE_HZ, { ms: 30_000 });
  });

  test("hears Chromium's redundant sound, which it does not take itself", async () => {
    const [fox, bob] = [await rig().peer("fox", { page }), await rig().peer("bob", { raw: true })];
    const voice = await bob.push("microphone", { ...tone(800), codec: "red" });
    const heard = await fox.pull(voice.metadata);
    await heard.expectSound({ ms: 30_000 });
    const { reply } = await rig().server.api("GET", `ext/sessions/${voice.metadata.sessionId}/stats`);
    assert.equal(reply.statistics.local[0].codec.toLowerCase(), "red");
  });

  // Not in H.264: Firefox fetches that from its maker when it first runs.
  test("plays by WHEP what Chromium publishes by WHIP", async () => {
    const player = await rig().whep("for-fox", { page });
    await rig().whip("for-fox", [picture(42), tone(900)]);
    await player.video.expectPicture(42, { frames: 20, ms: 30_000 });
    await player.audio.expectSound({ ms: 30_000 });
  });

  test("exchanges data channel messages with Chromium, whoever offers", async () => {
    const [fox, bob] = [await DataPeer.open(page, rig().server, "server"), await DataPeer.open((await rig().tab()).page, rig().server)];
    await fox.ready("server-events");
    for (const [from, to, name] of [[fox, bob, "of Firefox"], [bob, fox, "of Chromium"]]) {
      await from.active(name, await from.publish(name));
      await to.active(name, await to.subscribe(from, name));
      await from.run("send", name, "hello");
      const sent = await from.run("sendBytes", name, 262_144, 5);
      const got = await to.got(name, 2);
      assert.equal(got[0].content, "hello");
      assert.deepEqual(got[1], sent);
      await from.run("send", name, "");
      await from.run("sendBytes", name, 0, 0);
      await from.run("send", name, "goodbye");
      const last = (await to.got(name, 5)).slice(2);
      assert.deepEqual(last.map(({ text, length }) => [text, length]), [[true, 0], [false, 0], [true, 7]]);
    }
    for (const peer of [fox, bob]) await peer.run("close");
  });
});
