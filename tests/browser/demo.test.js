// The page that the server itself serves: two people meet in a room. A picture of the page goes to the temporary
// folder, for people to look at.

import assert from "node:assert/strict";
import { mkdtemp } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { after, afterEach, before, test } from "node:test";
import { startChromium } from "./lib/chromium.js";
import { startServer } from "./lib/server.js";
import { until } from "./lib/until.js";

let server;
let browser;
let folder;
const tabs = [];

before(
  async () => {
    server = await startServer();
    browser = await startChromium();
    folder = await mkdtemp(path.join(os.tmpdir(), "ringcast-demo-"));
  },
  { timeout: 60_000 },
);
after(async () => {
  await browser?.stop();
  await server?.stop();
});

// Pages that go on sending would take the processor from the tests that follow.
afterEach(() => Promise.all(tabs.splice(0).map((page) => page.close())));

const link = (room, secret = server.secret) => `${server.origin}/?app=${server.app}&room=${room}#key=${secret}`;

async function join(name, room, size = { width: 1280, height: 800 }) {
  const page = await browser.tab("about:blank");
  await page.setViewportSize(size);
  await page.goto(link(room));
  await page.fill("#name", name);
  await page.click("#join");
  tabs.push(page);
  return page;
}

/** What the tile of `name` shows. */
const tileOf = (page, name) =>
  page.evaluate((label) => {
    const tile = document.querySelector(`.tile[aria-label="${label}"]`);
    if (!tile) return null;
    const video = tile.querySelector("video");
    return {
      picture: tile.dataset.picture,
      width: video.videoWidth,
      time: video.currentTime,
      figures: tile.querySelector(".figures").textContent,
      isMuted: !tile.querySelector(".muted-badge").hidden,
    };
  }, name);

async function expectTile(page, what, name, check) {
  return until(`the tile of ${name} to ${what}`, async () => {
    const seen = await tileOf(page, name);
    return { done: Boolean(seen && check(seen)), seen: { seen, notices: await page.locator(".notice span").allTextContents(), console: page.consoleLines.slice(-5) }, value: seen };
  }, { ms: 25_000 });
}

test("two people meet in a room, see each other's state, share a screen and leave", async (t) => {
  const ada = await join("Ada", "garden");
  const grace = await join("Grace", "garden", { width: 360, height: 740 });
  for (const [page, other] of [[ada, "Grace"], [grace, "Ada"]]) {
    const first = await expectTile(page, "show a picture and figures", other, ({ picture, width, figures }) => picture === "true" && width > 0 && /fps.*bit\/s.*ms/.test(figures));
    await expectTile(page, "move", other, ({ time }) => time > first.time + 1);
  }
  await ada.screenshot({ path: path.join(folder, "wide.png") });
  await grace.screenshot({ path: path.join(folder, "narrow.png") });
  t.diagnostic(`screenshots: ${folder}`);
  assert.equal(await grace.evaluate(() => document.documentElement.scrollWidth), 360, "nothing sticks out at 360 px");

  await ada.click("#toggle-microphone");
  await expectTile(grace, "show that Ada is muted", "Ada", ({ isMuted }) => isMuted);
  await ada.click("#toggle-camera");
  await expectTile(grace, "show no picture", "Ada", ({ picture }) => picture === "false");
  await ada.click("#toggle-camera");
  await ada.click("#toggle-microphone");
  await expectTile(grace, "show a picture again", "Ada", ({ picture, isMuted }) => picture === "true" && !isMuted);

  await ada.click("#toggle-screen");
  await expectTile(grace, "show the screen", "Screen of Ada", ({ picture, width }) => picture === "true" && width >= 640);
  await ada.screenshot({ path: path.join(folder, "sharing.png") });
  await ada.click("#toggle-screen");
  await until("the screen to go", async () => (await tileOf(grace, "Screen of Ada")) === null);
  await expectTile(grace, "still show the camera", "Ada", ({ picture }) => picture === "true");

  await ada.click("#leave");
  await until("Ada's tile to go", async () => (await tileOf(grace, "Ada")) === null, { ms: 20_000 });
  await ada.click("#join");
  await expectTile(grace, "be back", "Ada", ({ picture }) => picture === "true");
  await expectTile(ada, "be there for the one who is back", "Grace", ({ picture }) => picture === "true");
  for (const page of [ada, grace]) assert.deepEqual(page.consoleLines.filter((line) => line.startsWith("error")), []);
});

test("a lost session heals by itself", async () => {
  const ada = await join("Ada", "shed");
  const grace = await join("Grace", "shed");
  await expectTile(grace, "show a picture", "Ada", ({ picture }) => picture === "true");
  const { reply } = await server.api("GET", "ext/rooms/shed");
  const { sessionId } = reply.members.find((member) => member.name === "Ada");
  await server.loseSession(sessionId);
  await until("Ada to have another session", async () => {
    const { reply: now } = await server.api("GET", "ext/rooms/shed");
    const member = now.members.find(({ name }) => name === "Ada");
    return { done: member?.sessionId && member.sessionId !== sessionId && member.tracks.length > 0, seen: now };
  }, { ms: 45_000 });
  const before = await tileOf(grace, "Ada");
  await expectTile(grace, "move again", "Ada", ({ picture, width, time }) => picture === "true" && width > 0 && time !== before.time);
  await expectTile(ada, "move again", "Grace", ({ picture }) => picture === "true");
});

test("a wrong key is told in a plain sentence", async () => {
  const page = await browser.tab("about:blank");
  await page.goto(link("garden", "0".repeat(64)));
  await page.fill("#name", "Mallory");
  await page.click("#join");
  await page.locator("#notice-ended").waitFor({ timeout: 25_000 });
  assert.match(await page.locator("#notice-ended").textContent(), /key in this link is not accepted/);
  assert.equal(await page.locator("#lobby").isVisible(), true);
});

test("every control can be reached and used by keyboard and has a name", async () => {
  const page = await join("Keys", "attic");
  await page.locator("#controls").waitFor();
  const names = await page.evaluate(() =>
    [...document.querySelectorAll("button, select, input")].filter((element) => element.checkVisibility()).map((element) => ({
      id: element.id,
      name: (element.labels?.[0]?.textContent ?? element.textContent ?? "").trim() || element.getAttribute("aria-label"),
      tab: element.tabIndex,
    })),
  );
  assert.ok(names.length >= 6);
  for (const { id, name, tab } of names) assert.ok(name && tab >= 0, `${id} has the name "${name}" and tab index ${tab}`);
  await page.locator("#toggle-microphone").focus();
  await page.keyboard.press("Space");
  assert.equal(await page.locator("#toggle-microphone").getAttribute("aria-pressed"), "true");
});
