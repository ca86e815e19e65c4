// The example of a site on Express, as its README starts it: npm install, node server.js, two tabs.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { cp, mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { startChromium } from "../lib/chromium.js";
import { freeTcpPort, startServer } from "../lib/server.js";
import { until } from "../lib/until.js";

const run = promisify(execFile);
let folder;
let server;
let browser;
let site;
let origin;

before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), "ringcast-express-"));
  // A copy, so that what npm installs does not lie in the sources.
  const client = fileURLToPath(new URL("../../../client", import.meta.url));
  await cp(client, folder, { recursive: true, filter: (source) => !source.includes("node_modules") });
  const cwd = path.join(folder, "examples/express");
  await run("npm", ["install", "--no-audit", "--no-fund", "--loglevel=error"], { cwd });
  server = await startServer();
  browser = await startChromium();
  const env = { ...process.env, RINGCAST_APP_URL: server.base, RINGCAST_SECRET: server.secret, PORT: String(await freeTcpPort("127.0.0.1")) };
  site = spawn(process.execPath, ["server.js"], { cwd, env, stdio: ["ignore", "pipe", "inherit"] });
  origin = await new Promise((resolve, reject) => {
    site.stdout.once("data", (line) => resolve(String(line).trim()));
    site.once("exit", (code) => reject(new Error(`the site ended with ${code}`)));
  });
}, { timeout: 120_000 });
after(async () => {
  site?.kill("SIGTERM");
  await browser?.stop();
  await server?.stop();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

async function join(name) {
  const page = await browser.tab(origin);
  await page.fill("#name", name);
  await page.click("#lobby button");
  return page;
}

/** The picture under a caption. */
const picture = (page, caption) =>
  page.evaluate((caption) => {
    const figure = [...document.querySelectorAll("figure")].find((one) => one.textContent.trim() === caption);
    const video = figure?.querySelector("video");
    return video ? { width: video.videoWidth, time: video.currentTime, kinds: video.srcObject.getTracks().map(({ kind }) => kind).sort() } : null;
  }, caption);

test("two tabs of the example see and hear each other, and one sees the other leave", async () => {
  const ada = await join("Ada");
  const grace = await join("Grace");
  for (const [page, other] of [[ada, "Grace"], [grace, "Ada"]]) {
    await until(`the picture of ${other} to move`, async () => {
      const seen = await picture(page, other);
      const status = await page.textContent("#status");
      return { done: seen?.width > 0 && seen.time > 1 && seen.kinds.join() === "audio,video", seen: { seen, status, console: page.consoleLines } };
    }, { ms: 30_000 });
    assert.match(await page.textContent("#status"), /^2 people/);
  }
  const told = JSON.stringify([await ada.content(), await (await fetch(`${origin}call.js`)).text()]);
  assert.ok(!told.includes(server.secret));
  await grace.close();
  await until("Grace to be gone", async () => (await picture(ada, "Grace")) === null, { ms: 30_000 });
  assert.deepEqual(ada.consoleLines.filter((line) => line.startsWith("error")), []);
  assert.deepEqual(await ada.evaluate(() => document.documentElement.scrollWidth), await ada.evaluate(() => innerWidth));
});

test("without a secret the site says what to set", async () => {
  const { RINGCAST_SECRET: _, ...env } = process.env;
  const failed = await run(process.execPath, ["server.js"], { cwd: path.join(folder, "examples/express"), env }).catch((error) => error);
  assert.equal(failed.code, 2);
  assert.match(failed.stderr, /Set RINGCAST_SECRET/);
});
