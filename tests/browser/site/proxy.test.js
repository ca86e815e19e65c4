// The example of a proxy: partytracks through Express, with the secret on the server and sessions locked by cookie.

import assert from "node:assert/strict";
import http from "node:http";
import { after, afterEach, before, test } from "node:test";
import express from "express";
import { createProxy } from "../../../client/examples/express/proxy.js";
import { bundleKit } from "../lib/chromium.js";
import { Peer, picture, Rig } from "../lib/rig.js";

let running;
const rig = () => running;
let proxy;
let origin;

before(async () => {
  running = await Rig.start();
  const { base: app, secret } = rig().server;
  const script = await bundleKit();
  const site = express();
  site.get("/", (_, response) => response.type("html").send('<!doctype html><link rel="icon" href="data:,"><body><script src="kit.js"></script>'));
  site.get("/kit.js", (_, response) => response.type("js").send(script));
  site.use(createProxy(express, { app, secret, secure: false }));
  proxy = http.createServer(site);
  await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${proxy.address().port}`;
}, { timeout: 60_000 });
after(async () => {
  proxy?.closeAllConnections();
  await new Promise((resolve) => (proxy ? proxy.close(resolve) : resolve()));
  await running?.stop();
});
afterEach(() => running?.clear());

/** A browser of its own: cookies of one tab are not those of another. */
async function visitor(name) {
  const context = await rig().browser.context.browser()?.newContext();
  const page = context ? await context.newPage() : await rig().browser.tab(origin);
  if (context) await page.goto(origin);
  const peer = new Peer(rig(), { page, peers: new Set() }, name);
  await peer.call("open", { base: `${origin}/partytracks`, token: "none" });
  return { peer, page, close: async () => { await peer.close(); await page.close(); await context?.close(); } };
}

test("partytracks calls through the proxy, and nobody learns the secret", async () => {
  const visit = await visitor("visitor");
  const camera = await visit.peer.push("camera", picture(60));
  const seen = await visit.peer.pull(camera.metadata);
  await seen.expectPicture(60);
  const servers = await visit.page.evaluate(() => fetch("/partytracks/generate-ice-servers").then((reply) => reply.json()));
  assert.deepEqual(servers, { iceServers: [] });
  const known = JSON.stringify([await visit.peer.call("history"), await visit.page.content(), await visit.page.context().cookies()]);
  assert.ok(!known.includes(rig().server.secret));
  await visit.close();
});

test("a session is locked to the browser that made it, and the rest of the API is not passed on", async () => {
  const call = (path, { method = "GET", body, cookie = "" } = {}) => fetch(`${origin}${path}`, { method, body, headers: cookie ? { cookie } : {} });
  const opened = await call("/partytracks/sessions/new", { method: "POST" });
  assert.equal(opened.status, 201);
  const { sessionId } = await opened.json();
  const set = opened.headers.getSetCookie();
  assert.ok(set.every((cookie) => /HttpOnly/.test(cookie) && /SameSite=Strict/.test(cookie)), set.join("\n"));
  const cookie = set.map((one) => one.split(";")[0]).join("; ");
  const session = `/partytracks/sessions/${sessionId}`;
  assert.equal((await call(session, { cookie })).status, 200);
  const other = await (await call("/partytracks/sessions/new", { method: "POST" })).json();
  for (const stolen of ["", cookie.replace(sessionId, other.sessionId), `ringcast-${sessionId}=guessed`]) {
    if (stolen.includes(other.sessionId)) assert.equal((await call(`/partytracks/sessions/${other.sessionId}`, { cookie: stolen })).status, 403);
    assert.equal((await call(session, { cookie: stolen })).status, 403);
    const close = await call(`${session}/tracks/close`, { method: "PUT", body: JSON.stringify({ tracks: [{ mid: "0" }], force: true }), cookie: stolen });
    assert.equal(close.status, 403);
  }
  for (const path of ["/partytracks/ext/sessions", `${session}/../../ext/tokens`, "/partytracks/ext/tokens", `/partytracks/ext/sessions/${sessionId}`]) {
    assert.equal((await call(path, { cookie })).status, 404, path);
  }
  // What the server refuses comes as it is, in JSON.
  const bad = await call(`${session}/tracks/new`, { method: "POST", body: "{}", cookie });
  assert.deepEqual([bad.status, (await bad.json()).errorCode], [406, "invalid_params"]);
});

test("the proxy gives out tokens with which a page calls the server itself", async () => {
  const reply = await fetch(`${origin}/token`, { method: "POST" });
  assert.equal(reply.status, 201);
  const { token } = await reply.json();
  const opened = await rig().server.api("POST", "sessions/new", { token });
  assert.equal(opened.status, 201);
  const listed = await rig().server.api("GET", "ext/sessions", { token });
  assert.deepEqual([listed.status, listed.reply.errorSubcode], [403, "secret_only"]);
});
