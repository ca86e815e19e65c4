// aiortc, a WebRTC stack that shares no code with the browsers, on every interface, beside Chromium.
// AIORTC_PYTHON names a Python that has it; `run` makes one. Without it the tests are skipped.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import path from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { exchangeMessages } from "../lib/native.js";
import { useOutside } from "../lib/outside.js";
import { picture, tone, useRig } from "../lib/rig.js";

const here = path.dirname(fileURLToPath(import.meta.url));
const python = process.env.AIORTC_PYTHON ?? path.resolve(here, "../../.cache/venv/bin/python");
const skip = existsSync(python) ? false : `${python} is not there`;

// The first colour of the kit's palette in all three thirds: picture 0.
const COLOUR = [225, 40, 40];

describe("aiortc", { skip }, () => {
  const rig = useRig({ before, after, afterEach });
  const start = useOutside({ afterEach }, "aiortc", [python, path.join(here, "aiortc_peer.py")]);
  const onApi = (role, ...args) => start(role, rig().server.base, rig().server.secret, ...args);

  // In the second round the server is a full ICE agent as well, and calls: it controls where it offers, aiortc where that does.
  for (const [query, how] of [["", ""], ["?thirdparty=true", ", called by the server"]]) {
    test(`aiortc as a publisher is seen and heard by Chromium${how}`, async () => {
      const publisher = onApi(`publish${query}`, ...COLOUR, 700);
      const { sessionId } = await publisher.line("publish", (line) => line.sessionId);
      await publisher.connected();
      const bob = await rig().peer("bob");
      const seen = await bob.pull({ location: "remote", sessionId, trackName: "camera" });
      const heard = await bob.pull({ location: "remote", sessionId, trackName: "microphone" });
      await seen.expectPicture(0, { frames: 20, ms: 30_000 });
      await heard.expectTone(700, { ms: 30_000 });
    });

    test(`aiortc as a viewer sees and hears Chromium${how}`, async () => {
      const alice = await rig().peer("alice", { raw: true });
      const camera = await alice.push("camera", picture(8));
      await alice.push("microphone", tone(900));
      const viewer = onApi(`view${query}`, camera.metadata.sessionId, "camera", "microphone");
      await viewer.expectRedGreenBlue();
      await viewer.expectTone(900);
    });
  }

  test("aiortc's stream by WHIP is seen and heard by Chromium", async () => {
    const publisher = start("whip", rig().server.whip("aio"), rig().server.secret, ...COLOUR, 700);
    await publisher.connected();
    const { video, audio } = await rig().whep("aio");
    await video.expectPicture(0, { frames: 20, ms: 30_000 });
    await audio.expectTone(700, { ms: 30_000 });
    await publisher.stop();
    // Its viewer is still there.
    const { reply } = await rig().server.api("GET", "ext/streams");
    assert.deepEqual(reply.streams, [{ stream: "aio", viewers: 1 }], "its DELETE ended the stream");
  });

  test("aiortc sees and hears Chromium's stream by WHEP", async () => {
    await rig().whip("page", [picture(8), tone(900)]);
    const viewer = start("whep", rig().server.whep("page"), rig().server.secret);
    await viewer.expectRedGreenBlue();
    await viewer.expectTone(900);
  });

  test("aiortc exchanges data channel messages with Chromium", async () => {
    await exchangeMessages(rig(), (...args) => onApi("channels", ...args));
  });
});
