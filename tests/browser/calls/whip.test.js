// WHIP and WHEP by a plain client in Chromium.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { picture, tone, useRig } from "../lib/rig.js";

const rig = useRig({ before, after, afterEach });

test("Chromium plays a stream by WHEP when it comes, and again when it returns", async () => {
  const { server } = rig();
  const viewer = await rig().whep("studio");
  assert.match(viewer.location, /\/whep\//);
  assert.match(viewer.etag, /^"/);
  const first = await rig().whip("studio", [picture(3), tone(600)]);
  await viewer.video.expectPicture(3, { frames: 10 });
  await viewer.audio.expectTone(600);
  // It goes, and another takes its name.
  const gone = await fetch(new URL(first.location, server.origin), { method: "DELETE", headers: { Authorization: `Bearer ${server.secret}` } });
  assert.equal(gone.status, 200);
  await first.peer.close();
  await rig().whip("studio", [picture(4), tone(900)]);
  await viewer.video.expectPicture(4, { frames: 10 });
  await viewer.audio.expectTone(900);
});

test("Chromium's stream by WHIP is a session with tracks that others pull", async () => {
  const { server } = rig();
  const { sessionId } = await rig().whip("stage", [picture(5), tone(700)]);
  const { status, reply } = await server.api("GET", `sessions/${sessionId}`);
  assert.equal(status, 200);
  assert.deepEqual(reply.tracks.map((track) => track.trackName).sort(), ["audio", "video"]);
  const viewer = await rig().peer("viewer");
  const pulled = await viewer.pull({ location: "remote", sessionId, trackName: "video" });
  await pulled.expectPicture(5);
});
