// The snippets of docs/proxies.md in the programs that they are for: https by HTTP/2, a camera, media past the proxy, events
// at once.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { startChromium } from "../lib/chromium.js";
import { freeTcpPort, startServer } from "../lib/server.js";
import { until } from "../lib/until.js";

const NAME = "sfu.example.com";

let folder;
let server;
let browser;
let port;

before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), "ringcast-proxies-"));
  server = await startServer();
  browser = await startChromium({ args: ["--ignore-certificate-errors"] });
}, { timeout: 60_000 });
after(async () => {
  await browser?.stop();
  await server?.stop();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

/** The snippet of one language for a whole site, with the one for a path put in, for the server under test. */
async function snippet(language) {
  const text = await readFile(new URL("../../../docs/proxies.md", import.meta.url), "utf8");
  const found = [...text.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, "gms"))].map(([, block]) => block);
  assert.equal(found.length, 2, `a site and a path for ${language}`);
  const [site, below] = found;
  port = await freeTcpPort("127.0.0.1");
  return site.replace(/\}\s*$/, `${below}}\n`).replaceAll("127.0.0.1:8080", new URL(server.origin).host);
}

const proxies = {
  async nginx() {
    const [key, certificate] = [path.join(folder, "key.pem"), path.join(folder, "certificate.pem")];
    const request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", key, "-out", certificate];
    execFileSync("openssl", request, { stdio: "ignore" });
    const site = (await snippet("nginx"))
      .replace("listen 443", `listen 127.0.0.1:${port}`)
      .replace(NAME, "localhost")
      .replace(/ssl_certificate +\S+;/, `ssl_certificate ${certificate};`)
      .replace(/ssl_certificate_key +\S+;/, `ssl_certificate_key ${key};`);
    const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${folder}/${kind};`);
    const file = path.join(folder, "nginx.conf");
    await writeFile(file, `daemon off; pid ${folder}/nginx.pid; error_log stderr; events {} http { access_log off; ${paths.join(" ")}\n${site} }`);
    return ["nginx", ["-p", folder, "-e", "stderr", "-c", file], {}];
  },
  async caddy() {
    const site = (await snippet("caddyfile")).replace(NAME, `localhost:${port}`);
    const file = path.join(folder, "Caddyfile");
    // No certificate of a public authority here, and nothing is to be changed on this machine.
    await writeFile(file, `{\n admin off\n skip_install_trust\n auto_https disable_redirects\n}\n${site}`);
    const home = path.join(folder, "caddy");
    await mkdir(home, { recursive: true });
    return ["caddy", ["run", "--config", file, "--adapter", "caddyfile"], { HOME: home, XDG_DATA_HOME: home, XDG_CONFIG_HOME: home }];
  },
};

/** Publishes the camera by WHIP from the page that is open, watches the stream, and takes down its events. */
async function callFromPage({ app, secret, root, stream }) {
  const post = async (url, type, body) => {
    const reply = await fetch(url, { method: "POST", headers: { Authorization: `Bearer ${secret}`, "Content-Type": type }, body });
    if (reply.status !== 201) throw new Error(`${url}: ${reply.status} ${await reply.text()}`);
    return { location: new URL(reply.headers.get("location"), reply.url).href, text: await reply.text() };
  };
  const connected = (pc) =>
    new Promise((resolve) => {
      pc.onconnectionstatechange = () => pc.connectionState === "connected" && resolve();
    });
  const exchange = async (pc, url) => {
    await pc.setLocalDescription();
    const { location, text } = await post(url, "application/sdp", pc.localDescription.sdp);
    const done = connected(pc);
    await pc.setRemoteDescription({ type: "answer", sdp: text });
    await done;
    return location;
  };
  const viewer = new RTCPeerConnection();
  const video = document.createElement("video");
  video.muted = true;
  viewer.ontrack = ({ track }) => {
    video.srcObject = new MediaStream([track]);
    video.play();
  };
  viewer.addTransceiver("video", { direction: "recvonly" });
  const viewing = await exchange(viewer, `${root}/whep/${app}/${stream}`);
  window.told = [];
  const events = await post(`${viewing}/events`, "application/json", '["active","inactive","viewercount"]');
  const source = new EventSource(events.location);
  for (const name of ["active", "inactive", "viewercount"]) source.addEventListener(name, () => window.told.push(name));
  await new Promise((resolve, reject) => {
    source.addEventListener("inactive", resolve);
    setTimeout(() => reject(new Error(`no event came: the proxy keeps them back; told: ${window.told}`)), 10_000);
  });
  const camera = await navigator.mediaDevices.getUserMedia({ video: true });
  const publisher = new RTCPeerConnection();
  publisher.addTransceiver(camera.getVideoTracks()[0], { direction: "sendonly" });
  const publishing = await exchange(publisher, `${root}/whip/${app}/${stream}`);
  window.look = () => ({ told: window.told, width: video.videoWidth, time: video.currentTime });
  window.leave = async () => {
    source.close();
    const ended = await Promise.all([viewing, publishing].map((url) => fetch(url, { method: "DELETE", headers: { Authorization: `Bearer ${secret}` } })));
    return ended.map(({ status }) => status);
  };
}

for (const [name, prepare] of Object.entries(proxies)) {
  test(`behind ${name} as docs/proxies.md has it, camera, WHIP, WHEP and its events work by https and HTTP/2, also under a path`, async () => {
    const [command, args, variables] = await prepare();
    const child = spawn(command, args, { env: { ...process.env, ...variables }, stdio: ["ignore", "pipe", "pipe"] });
    const output = [];
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => output.push(String(chunk)));
    const ended = new Promise((resolve) => child.once("exit", resolve));
    try {
      let page;
      await until(`${name} to serve`, async () => {
        if (child.exitCode !== null) throw Object.assign(new Error(output.join("")), { isFinal: true });
        page ??= await browser.tab("about:blank");
        const reply = await page.goto(`https://localhost:${port}/docs`).catch(() => null);
        return { done: reply?.ok() === true, seen: output.join("").slice(-2_000) };
      }, { ms: 30_000, every: 200 });
      const [isSecure, protocol] = await page.evaluate(() => [window.isSecureContext, performance.getEntriesByType("navigation")[0].nextHopProtocol]);
      assert.equal(isSecure, true);
      assert.match(protocol, /^h[23]$/);
      for (const [root, stream] of [["", `${name}-site`], ["/live", `${name}-path`]]) {
        await page.evaluate(callFromPage, { app: server.app, secret: server.secret, root, stream });
        await until("the camera to be seen and told of", async () => {
          const seen = await page.evaluate(() => window.look());
          return { done: seen.width > 0 && seen.time > 0.5 && seen.told.includes("active"), seen };
        }, { ms: 25_000 });
        assert.deepEqual(await page.evaluate(() => window.leave()), [200, 200], "what was linked to can be ended");
      }
      await page.close();
    } finally {
      child.kill("SIGTERM");
      await ended;
    }
  });
}
