// The server behind nginx, which adds TLS, HTTP/2 and a path of its own: what WHIP and WHEP link to leads back through it.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { FORWARDED, portForNginx, startNginx } from "../lib/nginx.js";
import { picture, tone, useRig } from "../lib/rig.js";
import { startServer } from "../lib/server.js";
import { until } from "../lib/until.js";

let told; // A proxy that tells the prefix.
let other; // A server that knows its public URL, behind a proxy that tells nothing.
let silent;

async function startProxies() {
  told = await startNginx(rig().server, { headers: [...FORWARDED, "X-Forwarded-Prefix /live"] });
  const port = await portForNginx();
  other = await startServer({ variables: { RINGCAST_HTTP_PUBLIC_URL: `https://127.0.0.1:${port}/media/live/` } });
  silent = await startNginx(other, { port, prefix: "/media/live", headers: [] });
}

// One hook, since those of a file do not wait for each other.
const inOrder = (start, options) => before(() => start().then(startProxies), options);
const rig = useRig({ before: inOrder, after, afterEach }, { browser: { args: ["--ignore-certificate-errors"] } });
after(async () => {
  await told?.stop();
  await silent?.stop();
  await other?.stop();
});

async function listed(server, stream) {
  const { reply } = await server.api("GET", "ext/streams");
  return reply.streams.find((entry) => entry.stream === stream);
}

/** The requests of one stream by HTTP/2, as `METHOD status`. */
async function seen(front, stream) {
  const lines = (await front.requests()).map((line) => line.split(" "));
  const ours = lines.filter(([, , path]) => path.includes(`/${stream}`));
  assert.ok(ours.every(([protocol]) => protocol === "HTTP/2.0"), "TLS brings HTTP/2");
  return ours.map(([, method, , status]) => `${method} ${status}`);
}

for (const [name, front, server] of [
  ["by a prefix that the proxy tells", () => told, () => rig().server],
  ["by the public URL of the configuration", () => silent, () => other],
]) {
  for (const [index, package_] of ["eyevinn", "binbat"].entries()) {
    test(`${name}, @${package_}'s publisher and player publish, play, change and leave`, async () => {
      const stream = `behind-${package_}`;
      const at = { server: front(), token: server().secret };
      const sender = await rig().publishBy(package_, stream, [picture(20 + index), tone(600)], at);
      const { peer, video, audio } = await rig().playBy(package_, stream, at);
      await video.expectPicture(20 + index, { frames: 20 });
      await audio.expectTone(600);
      if (package_ === "binbat") {
        for (const who of [sender.peer, peer]) {
          const before = await who.call("selectedPair");
          await who.call("restartBy");
          await until(`${who.name} to use its new credentials`, async () => {
            const pair = await who.call("selectedPair");
            return { done: pair && pair.localUfrag !== before.localUfrag, seen: pair };
          });
          await video.expectPicture(20 + index, { frames: 20 });
        }
        await until("the events to be told", async () => (await peer.call("told")).some(({ event }) => event === "active"));
      }
      await peer.call("stopBy");
      await until("the viewer to be gone", async () => (await listed(server(), stream)).viewers === 0);
      await sender.peer.call("stopBy");
      await until("the stream to be gone", async () => (await listed(server(), stream)) === undefined);
      const requests = await seen(front(), stream);
      assert.equal(requests.filter((request) => request === "POST 201").length >= 2, true, requests.join());
      assert.equal(requests.filter((request) => request === "DELETE 200").length, 2, requests.join());
      assert.ok(requests.some((request) => /^PATCH 20[04]$/.test(request)), requests.join());
      assert.ok(!requests.some((request) => request.endsWith(" 404")), requests.join());
    });
  }
}

test("a server that knows its public URL prints that", () => {
  assert.ok(other.output.some((line) => line.endsWith(`API for clients on ${silent.origin}/v1`)), other.output.join("\n"));
});

test("the demo page and the description of the API work under the path of the proxy", async () => {
  const join = async (name) => {
    const page = await rig().browser.tab(`${told.origin}/?app=${told.app}&room=behind#key=${told.secret}`);
    await page.fill("#name", name);
    await page.click("#join");
    return page;
  };
  const pages = { Ada: await join("Ada"), Grace: await join("Grace") };
  for (const [other, page] of [["Grace", pages.Ada], ["Ada", pages.Grace]]) {
    await until(`the tile of ${other} to show a picture`, async () => {
      const tile = page.locator(`.tile[aria-label="${other}"][data-picture="true"]`);
      return { done: (await tile.count()) === 1, seen: { notices: await page.locator(".notice span").allTextContents(), tiles: await page.locator(".tile-name").allTextContents(), state: await page.locator("#connection").textContent(), console: page.consoleLines.slice(-5) } };
    }, { ms: 25_000 });
  }
  const { servers } = await pages.Ada.evaluate(() => fetch("openapi.json").then((reply) => reply.json()));
  assert.deepEqual(servers, [{ url: told.origin }]);
  assert.deepEqual(pages.Ada.consoleLines.filter((line) => line.startsWith("error")), []);
  await Promise.all(Object.values(pages).map((page) => page.close()));
});
