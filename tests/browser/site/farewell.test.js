// A server that stops tells its clients, who would otherwise find out by timeouts of ten seconds and more.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { picture, useRig } from "../lib/rig.js";
import { startServer } from "../lib/server.js";
import { until } from "../lib/until.js";

const rig = useRig({ before, after, afterEach });

/**
 * Waits until the browser says that DTLS is closed, and checks that nothing has told it before: as long as ICE is not
 * missing anything it takes the server for alive, and without a word it would say so first.
 */
async function expectGoodbye(peer) {
  const said = await until(`${peer.name} to be told`, async () => {
    const seen = await peer.call("said");
    return { done: seen.some(({ what }) => what === "dtls closed"), seen, value: seen };
  });
  const told = said.findIndex(({ what }) => what === "dtls closed");
  const ice = said.slice(0, told + 1).map(({ ice }) => ice);
  assert.ok(ice.every((state) => state === "connected" || state === "completed"), JSON.stringify(said));
  return said;
}

const call = async (number) => {
  const [alice, bob] = [await rig().peer("alice", { raw: true }), await rig().peer("bob", { raw: true })];
  const camera = await alice.push("camera", picture(number));
  const seen = await bob.pull(camera.metadata);
  await seen.expectPicture(number);
  for (const peer of [alice, bob]) await peer.call("watchConnection");
  return { alice, bob, seen };
};

test("a browser is told when its session is ended, and the others are not", async (t) => {
  const { alice, bob } = await call(31);
  await rig().server.api("DELETE", `ext/sessions/${await alice.sessionId()}`);
  t.diagnostic(JSON.stringify(await expectGoodbye(alice)));
  assert.deepEqual([(await bob.call("state")).connection, await bob.call("said")], ["connected", []]);
});

test("browsers are told when the server is stopped", async (t) => {
  const { alice, bob } = await call(32);
  await rig().server.stop();
  for (const peer of [alice, bob]) t.diagnostic(JSON.stringify(await expectGoodbye(peer)));
  assert.deepEqual(rig().server.exit, { code: 0, signal: null });
  rig().server = await startServer();
});

test("the package begins anew as soon as it is told", async (t) => {
  const tab = await rig().browser.tab(rig().pages.url);
  const { base, secret } = rig().server;
  const before = await tab.evaluate(async (options) => {
    const client = (window.client = new ringcast.Ringcast(options));
    const { track } = await makeSource({ kind: "picture", identity: 33 });
    await client.publishTrack(track, { trackName: "cam" });
    window.said = [];
    while (client.state$.value !== "connected") await new Promise((resolve) => setTimeout(resolve, 20));
    const pc = client.peerConnection;
    pc.addEventListener("connectionstatechange", () => said.push(pc.connectionState));
    client.state$.subscribe((state) => said.push(`client ${state}`));
    return client.sessionId$.value;
  }, { apiUrl: base, token: secret });
  await rig().server.api("DELETE", `ext/sessions/${before}`);
  const said = await until("another session", async () => {
    const [state, id, said] = await tab.evaluate(() => [client.state$.value, client.sessionId$.value, said]);
    return { done: state === "connected" && id && id !== before, seen: { state, id, said }, value: said };
  });
  t.diagnostic(JSON.stringify(said));
  assert.ok(said.indexOf("client reconnecting") >= 0 && !said.includes("disconnected") && !said.includes("failed"), JSON.stringify(said));
  await tab.close();
});
