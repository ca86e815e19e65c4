// A server that stops tells its clients, who would otherwise find out by timeouts of ten seconds and more.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { picture, useRig } from "./lib/rig.js";
import { startServer } from "./lib/server.js";
import { until } from "./lib/until.js";

const rig = useRig({ before, after, afterEach });

/** Well below the time after which Chromium notices by itself that nobody answers any more: some 13 seconds. */
const AT_ONCE = { ms: 6_000 };

/** What the browser says of its transports: a connection over, or DTLS that the far end has closed. */
const isTold = async (peer) => {
  const seen = await peer.call("state");
  return { done: ["closed", "failed"].includes(seen.connection) || seen.dtls.every((state) => state === "closed"), seen };
};

test("a browser is told at once when its session is ended", async () => {
  const [alice, bob] = [await rig().peer("alice", { raw: true }), await rig().peer("bob", { raw: true })];
  const camera = await alice.push("camera", picture(31));
  const seen = await bob.pull(camera.metadata);
  await seen.expectPicture(31);
  await rig().server.api("DELETE", `ext/sessions/${await alice.sessionId()}`);
  await until("the end of the connection", () => isTold(alice), AT_ONCE);
  assert.equal((await bob.call("state")).connection, "connected");
});

test("browsers are told at once when the server is stopped", async () => {
  const [alice, bob] = [await rig().peer("alice", { raw: true }), await rig().peer("bob", { raw: true })];
  const camera = await alice.push("camera", picture(32));
  const seen = await bob.pull(camera.metadata);
  await seen.expectPicture(32);
  await rig().server.stop();
  for (const peer of [alice, bob]) await until("the end of the connection", () => isTold(peer), AT_ONCE);
  assert.deepEqual(rig().server.exit, { code: 0, signal: null });
  rig().server = await startServer();
});
