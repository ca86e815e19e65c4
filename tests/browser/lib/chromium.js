// One Chromium process with as many tabs as a test file needs, and a small web server for the test page.

import { mkdtemp, rm } from "node:fs/promises";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { inUrl } from "./server.js";

const here = path.dirname(fileURLToPath(import.meta.url));

export const CHROMIUM = process.env.CHROMIUM_BIN ?? "/usr/bin/chromium";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--mute-audio",
  "--use-fake-ui-for-media-stream",
  "--use-fake-device-for-media-stream=device-count=2,fps=20",
  "--autoplay-policy=no-user-gesture-required",
  "--disable-background-timer-throttling",
  "--disable-renderer-backgrounding",
  "--disable-backgrounding-occluded-windows",
];

const LOOPBACK = "--allow-loopback-in-peer-connection";

/** partytracks as it is published, with the kit around it, as one script. */
export async function bundleKit() {
  const result = await build({
    entryPoints: [path.join(here, "../page/kit.js")],
    bundle: true,
    // Peer dependencies of client/ are those of the tests.
    nodePaths: [path.join(here, "../node_modules")],
    format: "iife",
    target: "es2022",
    define: { "process.env.NODE_ENV": '"production"' },
    write: false,
    logLevel: "error",
  });
  return result.outputFiles[0].text;
}

/** Serves an empty page with the kit, from an origin which is not the server's own. */
export async function startPageServer({ host = "127.0.0.1", listen = host } = {}) {
  const script = await bundleKit();
  const page = '<!doctype html><meta charset="utf-8"><title>peers</title><link rel="icon" href="data:,"><body><script src="kit.js"></script>';
  const server = http.createServer((request, response) => {
    const isScript = request.url.startsWith("/kit.js");
    response.setHeader("Content-Type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? script : page);
  });
  await new Promise((resolve) => server.listen(0, listen, resolve));
  const at = (host) => ({ url: `http://${inUrl(host)}:${server.address().port}/` });
  return {
    ...at(host),
    at,
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

export async function startChromium({ executablePath = CHROMIUM, args = [], hosts = [], loopback = true } = {}) {
  const userDataDir = await mkdtemp(path.join(os.tmpdir(), "ringcast-chromium-"));
  const excluded = ["127.0.0.1", "localhost", ...hosts].map((host) => `EXCLUDE ${host}`).join(", ");
  const context = await chromium.launchPersistentContext(userDataDir, {
    executablePath,
    headless: true,
    args: [...FLAGS, ...(loopback ? [LOOPBACK] : []), `--host-resolver-rules=MAP * ~NOTFOUND, ${excluded}`, ...args],
    ignoreDefaultArgs: ["--hide-scrollbars"],
    viewport: { width: 1280, height: 800 },
  });
  return {
    context,
    async tab(url) {
      const page = await context.newPage();
      page.on("dialog", (dialog) => dialog.dismiss().catch(() => {}));
      const consoleLines = [];
      page.on("console", (message) => consoleLines.push(`${message.type()}: ${message.text()}`));
      page.on("pageerror", (error) => consoleLines.push(`error: ${error.message}`));
      page.consoleLines = consoleLines;
      await page.goto(url);
      return page;
    },
    async stop() {
      await context.close();
      await rm(userDataDir, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
