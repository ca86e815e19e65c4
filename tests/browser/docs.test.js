// The pages of docs/: what they say to paste is pasted, against the real server, and the page they show is opened.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { startChromium } from "./lib/chromium.js";
import { binary, freeTcpPort, freeUdpPorts } from "./lib/server.js";
import { until } from "./lib/until.js";

/** The blocks of one language in a page of docs/. */
async function blocks(page, language) {
  const text = await readFile(new URL(`../../docs/${page}`, import.meta.url), "utf8");
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
