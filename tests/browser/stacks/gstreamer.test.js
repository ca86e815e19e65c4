// GStreamer's webrtcbin, as Debian ships it, as WHIP publisher and WHEP player beside Chromium. Skipped where it is missing.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import path from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { useOutside } from "../lib/outside.js";
import { picture, tone, useRig } from "../lib/rig.js";
import { until } from "../lib/until.js";

const here = path.dirname(fileURLToPath(import.meta.url));
const python = process.env.GSTREAMER_PYTHON ?? "/usr/bin/python3";
const isThere = spawnSync(python, ["-c", "import gi; gi.require_version('GstWebRTC', '1.0')"]).status === 0;
const skip = isThere ? false : "the bindings of GStreamer's webrtcbin are not there";

describe("GStreamer", { skip }, () => {
  const rig = useRig({ before, after, afterEach });
  const start = useOutside({ afterEach }, "GStreamer", [python, path.join(here, "gstreamer_peer.py")]);

  for (const codec of ["VP8", "H264", "H264-high"]) {
    test(`GStreamer's ${codec} stream by WHIP is seen and heard by Chromium`, async () => {
      const { server } = rig();
      const said = new Set(server.output);
      // The first colour of the kit's palette: picture 0.
      const publisher = start("whip", server.whip(`pipeline-${codec}`), server.secret, codec, "0xe12828", 700);
      await publisher.connected();
      const { video, audio } = await rig().whep(`pipeline-${codec}`);
      await video.expectPicture(0, { frames: 20, ms: 30_000 });
      await audio.expectTone(700, { ms: 30_000 });
      // The same by an offer of ours.
      const viewer = await rig().peer("viewer");
      const pulled = await viewer.pull({ location: "remote", sessionId: await server.publisherOf(`pipeline-${codec}`), trackName: "video" });
      await pulled.expectPicture(0, { frames: 20, ms: 30_000 });
      // Neither that an encoder connects nor that it leaves is news for an operator, but for one line each.
      const sessionId = await server.publisherOf(`pipeline-${codec}`);
      await publisher.stop();
      const since = () => server.output.filter((line) => !said.has(line));
      const ends = () => since().filter((line) => line.includes("session ended") && line.includes(sessionId));
      await until("its end to be told", () => ({ done: ends().length > 0, seen: since().slice(-3) }), { ms: 60_000 });
      assert.equal(ends().length, 1);
      assert.deepEqual(since().filter((line) => / (WARN|ERROR) /.test(line)), []);
    });
  }

  for (const codec of ["VP8", "H264"]) {
    test(`GStreamer sees and hears Chromium's ${codec} stream by WHEP`, async () => {
      const { server } = rig();
      await rig().whip(`page-${codec}`, [picture(8, { codec }), tone(900)]);
      const player = start("whep", server.whep(`page-${codec}`), server.secret, codec);
      await player.expectRedGreenBlue();
      await player.expectTone(900);
    });
  }

  test("an encoder that was killed takes its stream again at once, and its viewers stay", async () => {
    const { server } = rig();
    const { reply } = await server.api("POST", "ext/tokens", { body: { sub: "encoder", whip: ["killed"] } });
    const encode = async (colour) => {
      const encoder = start("whip", server.whip("killed"), reply.token, "VP8", colour, 700);
      await encoder.connected();
      return encoder;
    };
    const first = await encode("0xe12828");
    const { peer, video, audio } = await rig().whep("killed");
    await video.expectPicture(0, { frames: 20, ms: 30_000 });
    const watched = await peer.call("selectedPair");
    first.child.kill("SIGKILL");
    // Green in all three thirds: 1 + 6 + 36.
    await encode("0x28be3c");
    await video.expectPicture(43, { frames: 20, ms: 30_000 });
    await audio.expectTone(700, { ms: 30_000 });
    assert.deepEqual(await peer.call("selectedPair"), watched, "the viewer goes on over the same connection");
  });
});
