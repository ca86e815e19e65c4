// ffmpeg as a WHIP encoder beside Chromium, as PyPI has it: 9.0 upon OpenSSL as a program, and 8.1 upon GnuTLS in PyAV. Its
// offer says setup:passive unless it is told otherwise; the certificate of the second is on P-224.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import path from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { useOutside } from "../lib/outside.js";
import { useRig } from "../lib/rig.js";

const here = path.dirname(fileURLToPath(import.meta.url));
// PyAV comes with aiortc.
const python = process.env.AIORTC_PYTHON ?? path.resolve(here, "../../.cache/venv/bin/python");
const skip = existsSync(python) ? false : `${python} is not there`;

describe("ffmpeg", { skip }, () => {
  const rig = useRig({ before, after, afterEach });
  const start = useOutside({ afterEach }, "ffmpeg", [python, path.join(here, "ffmpeg_peer.py")]);

  for (const [what, kind] of [["ffmpeg 9", "program"], ["PyAV with ffmpeg 8.1", "library"]]) {
    for (const [how, options] of [["waits for", []], ["begins", ["-whip_flags", "dtls_active"]]]) {
      test(`${what} by WHIP, which ${how} DTLS, is seen and heard by Chromium and leaves`, async () => {
        const { server } = rig();
        const stream = `${kind}-${options.length}`;
        // The first colour of the kit's palette: picture 0.
        const encoder = start(kind, server.whip(stream), server.secret, "0xe12828", 700, ...options);
        await encoder.connected();
        const { video, audio } = await rig().whep(stream);
        await video.expectPicture(0, { frames: 20, ms: 30_000 });
        await audio.expectTone(700, { ms: 30_000 });
        // The same by an offer of ours.
        const viewer = await rig().peer("viewer");
        const pulled = await viewer.pull({ location: "remote", sessionId: await server.publisherOf(stream), trackName: "video" });
        await pulled.expectPicture(0, { frames: 20, ms: 30_000 });
        await encoder.stop();
        const { reply } = await server.api("GET", "ext/streams");
        const left = reply.streams.find((one) => one.stream === stream);
        assert.deepEqual(left, { stream, viewers: 1 }, "its DELETE ended the stream");
      });
    }
  }
});
