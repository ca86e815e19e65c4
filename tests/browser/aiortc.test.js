// aiortc, a WebRTC stack that shares no code with the browsers, as publisher and as viewer beside Chromium.
// AIORTC_PYTHON names a Python that has it; `run` makes one. Without it the tests are skipped.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { after, afterEach, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { picture, tone, useRig } from "./lib/rig.js";
import { until } from "./lib/until.js";

const here = path.dirname(fileURLToPath(import.meta.url));
const python = process.env.AIORTC_PYTHON ?? path.resolve(here, "../.cache/venv/bin/python");
const skip = existsSync(python) ? false : `${python} is not there`;

describe("aiortc", { skip }, () => {
  const rig = useRig({ before, after, afterEach });
  const running = new Set();
  afterEach(async () => {
    for (const peer of running) await peer.stop();
  });

  function startPeer(role, ...args) {
    const { base, secret } = rig().server;
    const child = spawn(python, [path.join(here, "aiortc_peer.py"), role, base, secret, ...args.map(String)]);
    const lines = [];
    let complaint = "";
    createInterface({ input: child.stdout }).on("line", (line) => lines.push(JSON.parse(line)));
    child.stderr.on("data", (chunk) => (complaint += chunk));
    const peer = {
      async line(what, check, ms = 20_000) {
        return until(`aiortc to ${what}`, () => {
          if (child.exitCode !== null) throw Object.assign(new Error(`aiortc ended: ${complaint}`), { isFinal: true });
          const found = lines.findLast(check);
          return { done: Boolean(found), seen: { last: lines.slice(-3), complaint: complaint.slice(-500) }, value: found };
        }, { ms });
      },
      async stop() {
        running.delete(peer);
        if (child.exitCode !== null) return;
        const ended = new Promise((resolve) => child.once("exit", resolve));
        child.stdin.end();
        const hardly = setTimeout(() => child.kill("SIGKILL"), 3_000);
        await ended;
        clearTimeout(hardly);
      },
    };
    running.add(peer);
    return peer;
  }

  // In the second round the server is a full ICE agent as well, and calls: it controls where it offers, aiortc where that does.
  for (const [query, how] of [["", ""], ["?thirdparty=true", ", called by the server"]]) {
    test(`as a publisher is seen and heard by Chromium${how}`, async () => {
      // The first colour of the kit's palette in all three thirds: picture 0.
      const publisher = startPeer(`publish${query}`, 225, 40, 40, 700);
      const { sessionId } = await publisher.line("publish", (line) => line.sessionId);
      await publisher.line("connect", (line) => line.state === "connected");
      const bob = await rig().peer("bob");
      const seen = await bob.pull({ location: "remote", sessionId, trackName: "camera" });
      const heard = await bob.pull({ location: "remote", sessionId, trackName: "microphone" });
      await seen.expectPicture(0, { frames: 20, ms: 30_000 });
      await heard.expectTone(700, { ms: 30_000 });
    });

    test(`as a viewer sees and hears Chromium${how}`, async () => {
      const alice = await rig().peer("alice", { raw: true });
      // Red, green, blue: digits 0, 1, 2 in base six.
      const camera = await alice.push("camera", picture(8));
      await alice.push("microphone", tone(900));
      const viewer = startPeer(`view${query}`, camera.metadata.sessionId, "camera", "microphone");
      const { thirds } = await viewer.line("see 20 frames", (line) => line.kind === "video" && line.frames >= 20, 30_000);
      thirds.forEach((rgb, index) => assert.equal(rgb.indexOf(Math.max(...rgb)), index, `third ${index} is ${rgb}`));
      const { hz } = await viewer.line("hear 150 frames", (line) => line.kind === "audio" && line.frames >= 150, 30_000);
      assert.ok(Math.abs(hz - 900) < 12, `it hears ${hz} Hz`);
    });
  }
});
