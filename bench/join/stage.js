// What measurements with a real browser share: Chromium, pages of two origins, and how a page calls the API.

import http from "node:http";
import { once } from "node:events";
import { startChromium } from "../../tests/browser/lib/chromium.js";

/** What every page has, as `window.stage`. */
function kit() {
  const sleep = (ms) => (ms > 0 ? new Promise((resolve) => setTimeout(resolve, ms)) : undefined);

  /** A call that takes a round trip more. */
  async function call(method, url, { secret, body, rtt = 0 }) {
    const type = typeof body === "string" ? "application/sdp" : "application/json";
    await sleep(rtt / 2);
    const response = await fetch(url, {
      method,
      headers: { Authorization: `Bearer ${secret}`, "Content-Type": type },
      body: typeof body === "object" ? JSON.stringify(body) : body,
    });
    const text = await response.text();
    await sleep(rtt / 2);
    if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${text}`);
    return { text, location: response.headers.get("Location"), json: () => JSON.parse(text) };
  }

  const offer = async (pc) => {
    await pc.setLocalDescription(await pc.createOffer());
    return pc.localDescription.sdp;
  };

  window.stage = { sleep, call, offer };
}

/** The servers that a command line names as NAME=API,MEDIA_PORT; a peer of the browser itself is NAME=direct. */
export function serversOf(words, app) {
  return words.map((word) => {
    const [name, rest] = word.split("=");
    if (rest === "direct") return { name };
    const [origin, port] = rest.split(",");
    const [whip, whep] = ["whip", "whep"].map((kind) => `${origin}/${kind}/${app}/joins`);
    return { name, port: Number(port), whip, whep, base: `${origin}/v1/apps/${app}` };
  });
}

/** Starts browser and pages. A tab is of the origin of a host name, and runs a kit of its own beside `window.stage`. */
export async function openStage() {
  const pages = http.createServer((_, response) => {
    response.setHeader("Content-Type", "text/html");
    response.end('<!doctype html><meta charset="utf-8"><title>joins</title><link rel="icon" href="data:,"><body>');
  });
  pages.listen(0);
  await once(pages, "listening");
  const browser = await startChromium({ loopback: false });
  const end = async () => {
    await browser.stop();
    pages.closeAllConnections();
    pages.close();
  };
  process.on("SIGTERM", () => end().finally(() => process.exit(143)));
  const tab = async (host, more) => {
    const page = await browser.tab(`http://${host}:${pages.address().port}/`);
    await page.evaluate(kit);
    await page.evaluate(more);
    return page;
  };
  return { tab, end };
}
