// The pages of docs/: what they say to paste is pasted, against the real server, and the page they show is opened.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { startChromium } from "../lib/chromium.js";
import { binary, freeTcpPort, freeUdpPorts, startServer } from "../lib/server.js";
import { until } from "../lib/until.js";

/** The blocks of one language in a page of docs/. */
async function blocks(page, language) {
  const text = await readFile(new URL(`../../../docs/${page}`, import.meta.url), "utf8");
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, "gms"))].map(([, block]) => block);
}

let folder;
let browser;
let shell;

before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), "ringcast-docs-"));
  browser = await startChromium();
}, { timeout: 60_000 });
after(async () => {
  await browser?.stop();
  // The commands leave a server and a web server behind, in a process group of their own.
  if (shell) process.kill(-shell.pid, "SIGTERM");
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

/** What the page says, with ports that are free here and the server under test. */
async function localised() {
  const [port, adminPort, pagePort] = [await freeTcpPort("127.0.0.1"), await freeTcpPort("127.0.0.1"), await freeTcpPort("127.0.0.1")];
  const udpPort = await freeUdpPorts(1);
  const server = `env -u RINGCAST_BIN ${binary} --admin 127.0.0.1:${adminPort} --media-port ${udpPort} --shards 1`;
  return (text) =>
    text
      .replaceAll("target/release/ringcast", server)
      .replaceAll("127.0.0.1:8080", `127.0.0.1:${port}`)
      .replace("127.0.0.1 3000", `127.0.0.1 ${pagePort}`)
      .replaceAll("127.0.0.1:3000", `127.0.0.1:${pagePort}`);
}

/** Runs blocks one after the other in one shell, and returns what each prints. */
async function paste(commands) {
  const mark = "----- next block";
  // A refusal of the server ends the shell: all that the page shows is accepted.
  const script = ["set -eu -o pipefail", 'curl() { command curl --fail-with-body "$@"; }', commands.join(`\necho; echo '${mark}'\n`), `echo '${mark}'`].join("\n");
  shell = spawn("bash", ["-c", script], { cwd: folder, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  const printed = { out: "", error: "" };
  shell.stdout.on("data", (chunk) => (printed.out += chunk));
  shell.stderr.on("data", (chunk) => (printed.error += chunk));
  const status = await new Promise((resolve) => shell.on("exit", resolve));
  assert.equal(status, 0, `${printed.out}\n${printed.error}`);
  return printed.out.split(mark);
}

test("every command of the first hour does what the page says, and its page shows and hears itself", async () => {
  const local = await localised();
  const commands = (await blocks("concepts.md", "sh")).map(local);
  const [page, ...others] = await blocks("concepts.md", "html");
  assert.deepEqual(others, []);
  await writeFile(path.join(folder, "page.html"), local(page));

  const printed = await paste(commands);
  const at = (word) => printed[commands.findIndex((command) => command.includes(word))];
  assert.match(at("ALICE="), /"sessionId":"[0-9a-f]{32}"/);
  assert.match(at("@push.json"), /"type":"answer".*"trackName":"microphone","status":"active"/s);
  assert.match(at("BOB="), /"errorCode":"empty_track_error"/);
  assert.equal(at("CAROL=").match(/"id":\d+/g)?.length, 2, at("CAROL="));
  assert.equal(at("WHIP=").match(/^HTTP\/1.1 201 .*?^location: /gims)?.length, 2, at("WHIP="));
  assert.match(at("WHIP="), /"stream":"studio".*"viewers":1/);
  assert.match(at("TOKEN="), /"sessionId":"[0-9a-f]{32}"/);

  const address = at("http.server").match(/http:\S+/)[0];
  assert.match(address, /#eyJ/, "the address has a token");
  await until("the page to be served", () => fetch(address).then((reply) => reply.ok).catch(() => false));
  const tab = await browser.tab(address);
  const seen = () =>
    tab.evaluate(() => {
      const video = document.getElementById("received");
      return { log: document.getElementById("log").textContent, width: video.videoWidth, time: video.currentTime, kinds: video.srcObject?.getTracks().map(({ kind }) => kind).sort() };
    });
  await until("video, sound and messages to come back", async () => {
    const now = await seen();
    return { done: now.width > 0 && now.time > 1 && /message: .*\d/.test(now.log), seen: { now, console: tab.consoleLines } };
  }, { ms: 30_000 });
  assert.deepEqual((await seen()).kinds, ["audio", "video"]);
  // Nothing else is loaded, and nothing goes wrong quietly. The icon is asked for by the browser itself.
  assert.deepEqual(tab.consoleLines.filter((line) => line.startsWith("error") && !line.includes("404")), []);
});

test("/docs has every operation by method and path with examples, refusals once, and fits a phone", async (t) => {
  const server = await startServer();
  try {
    const api = await (await fetch(`${server.origin}/openapi.json`)).json();
    const operations = Object.entries(api.paths).flatMap(([path, item]) => Object.entries(item).map(([method, { operationId }]) => ({ path, method, operationId })));
    for (const [name, size] of Object.entries({ phone: { width: 390, height: 844 }, wide: { width: 1280, height: 900 } })) {
      const tab = await browser.tab("about:blank");
      await tab.setViewportSize(size);
      await tab.goto(`${server.origin}/docs`);
      await tab.locator("#refusals").waitFor({ state: "attached" });
      const [content, room] = await tab.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
      assert.equal(content, room, `nothing sticks out: ${name}`);
      const shown = await tab.evaluate(() => ({
        index: [...document.querySelectorAll("#index a[data-text]")].map((link) => [link.querySelector(".method").textContent.toLowerCase(), link.querySelector(".path").textContent, link.hash.slice(1)]),
        calls: [...document.querySelectorAll("#operations article")].filter((one) => !one.id.startsWith("error-")).map((one) => [one.id, one.querySelectorAll("pre.call").length]),
        refusals: [...document.querySelectorAll("#refusals article")].map((one) => one.id),
        meanings: [...document.querySelectorAll("#operations article")].filter((one) => one.textContent.includes("The secret or token is missing or wrong.")).length,
        dangling: [...document.querySelectorAll("a[href^='#']")].map((link) => link.hash.slice(1)).filter((id) => !document.getElementById(id)),
      }));
      assert.equal(shown.index.length, operations.length);
      for (const { path, method, operationId } of operations) {
        const [, short] = shown.index.find(([shownMethod, , id]) => id === operationId && shownMethod === method) ?? [];
        assert.ok(short && path.endsWith(short), `${method} ${path}: ${short}`);
      }
      assert.deepEqual(shown.calls.filter(([, count]) => count === 0), []);
      assert.equal(shown.meanings, 1, "what a refusal means is told once");
      assert.deepEqual(shown.dangling, []);
      assert.equal(new Set(shown.refusals).size, shown.refusals.length);
      // On a phone the index is folded until it is asked for, and leads to the place.
      const summary = tab.locator("#contents summary");
      assert.equal(await summary.isVisible(), name === "phone");
      if (name === "phone") await summary.click();
      await tab.fill("#filter", "tracks/new");
      assert.deepEqual(await tab.locator("#index a[data-text]:visible").evaluateAll((links) => links.map(({ hash }) => hash)), ["#newTracks"]);
      await tab.click("#index a[href='#newTracks']");
      const top = await until("the operation to be in sight", async () => {
        const box = await tab.locator("#newTracks").boundingBox();
        return { done: box !== null && box.y >= 0 && box.y < size.height / 2, seen: box };
      });
      assert.ok(top);
      await tab.screenshot({ path: path.join(folder, `docs-${name}.png`) });
      assert.deepEqual(tab.consoleLines, []);
      await tab.close();
    }
  } finally {
    await server.stop();
  }
});
