// The page that the server itself serves: two people meet in a room. A picture of the page goes to the temporary
// folder, for people to look at.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { mkdtemp } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { after, afterEach, before, test } from "node:test";
import { startChromium, startPageServer } from "../lib/chromium.js";
import { binary, startServer } from "../lib/server.js";
import { until } from "../lib/until.js";

let server;
let browser;
let folder;
let pages;
const tabs = [];

before(
  async () => {
    server = await startServer();
    browser = await startChromium();
    pages = await startPageServer();
    folder = await mkdtemp(path.join(os.tmpdir(), "ringcast-demo-"));
  },
  { timeout: 60_000 },
);
after(async () => {
  await browser?.stop();
  await pages?.stop();
  await server?.stop();
});

// Pages that go on sending would take the processor from the tests that follow.
afterEach(() => Promise.all(tabs.splice(0).map((page) => page.close())));

const link = (room, key = server.secret) => `${server.origin}/?app=${server.app}&room=${room}#key=${key}`;

async function open(address, size = { width: 1280, height: 800 }) {
  const page = await browser.tab("about:blank");
  tabs.push(page);
  await page.setViewportSize(size);
  await page.goto(address);
  return page;
}

async function join(name, room, { size, address = link(room) } = {}) {
  const page = await open(address, size);
  await page.fill("#name", name);
  await page.click("#join");
  return page;
}

/** A token of the app for a minute, with these claims. */
function sign(claims, secret = server.secret) {
  const now = Math.floor(Date.now() / 1_000);
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${encode({ alg: "HS256", typ: "JWT" })}.${encode({ iss: server.app, aud: "ringcast", exp: now + 60, ...claims })}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}

/** What the page says when somebody asks to join with this address. */
async function refusal(address) {
  const page = await join("Mallory", "", { address });
  await page.locator("#notice-ended").waitFor({ timeout: 25_000 });
  assert.equal(await page.locator("#lobby").isVisible(), true);
  return page.locator("#notice-ended span").textContent();
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
      initials: tile.querySelector(".initials").checkVisibility() && tile.querySelector(".initials").textContent,
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
  await until("Ada to be told that she is alone", () => ada.locator("#alone").isVisible());
  await ada.screenshot({ path: path.join(folder, "alone.png") });
  const grace = await join("Grace", "garden", { size: { width: 360, height: 740 } });
  for (const [page, other] of [[ada, "Grace"], [grace, "Ada"]]) {
    const first = await expectTile(page, "show a picture and figures", other, ({ picture, width, figures }) => picture === "true" && width > 0 && /fps.*bit\/s.*ms/.test(figures));
    await expectTile(page, "move", other, ({ time }) => time > first.time + 1);
  }
  assert.equal(await ada.locator("#alone").isVisible(), false);
  await ada.screenshot({ path: path.join(folder, "wide.png") });
  await grace.screenshot({ path: path.join(folder, "narrow.png") });
  t.diagnostic(`screenshots: ${folder}`);
  assert.equal(await grace.evaluate(() => document.documentElement.scrollWidth), 360, "nothing sticks out at 360 px");

  await ada.click("#toggle-microphone");
  await expectTile(grace, "show that Ada is muted", "Ada", ({ isMuted }) => isMuted);
  await ada.click("#toggle-camera");
  await expectTile(grace, "show initials in place of the picture", "Ada", ({ picture, initials }) => picture === "false" && initials === "A");
  await expectTile(ada, "show initials to herself", "Ada (you)", ({ picture, initials }) => picture === "false" && initials === "A");
  await grace.screenshot({ path: path.join(folder, "camera-off.png") });
  await ada.click("#toggle-camera");
  await ada.click("#toggle-microphone");
  await expectTile(grace, "show a picture again", "Ada", ({ picture, isMuted }) => picture === "true" && !isMuted);

  await ada.click("#toggle-screen");
  await expectTile(grace, "show the screen", "Screen of Ada", ({ picture, width }) => picture === "true" && width >= 640);
  await expectTile(ada, "show her own screen", "Your screen", ({ picture, width }) => picture === "true" && width >= 640);
  await grace.screenshot({ path: path.join(folder, "screen-on-phone.png") });
  await ada.screenshot({ path: path.join(folder, "sharing.png") });
  await ada.click("#toggle-screen");
  await until("the screen to go", async () => (await tileOf(grace, "Screen of Ada")) === null);
  assert.equal(await tileOf(ada, "Your screen"), null);
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
  assert.match(await refusal(link("garden", "0".repeat(64))), /key in this link is not accepted/);
});

test("a link that is shared opens the room, has an end, and does not hold the secret", async () => {
  const ada = await join("Ada", "shared");
  await ada.locator("#controls").waitFor();
  const shown = await ada.evaluate(() => location.href);
  assert.ok(!shown.includes(server.secret), "the address bar holds no secret");
  await ada.click("#open-share");
  await ada.locator("#share").waitFor();
  await ada.screenshot({ path: path.join(folder, "share.png") });
  const invitation = await ada.inputValue("#share-link");
  assert.equal(invitation, shown);
  await ada.selectOption("#share-life", "3600");
  const short = await until("a link for an hour", async () => {
    const seen = await ada.inputValue("#share-link");
    return { done: seen !== invitation, seen, value: seen };
  });
  const claims = (address) => JSON.parse(Buffer.from(new URL(address).hash.split(".")[1], "base64url"));
  assert.equal(claims(short).exp - claims(short).iat, 3_600);
  assert.equal(claims(invitation).exp - claims(invitation).iat, 86_400);
  assert.deepEqual(claims(short).rooms, ["shared"]);
  await ada.keyboard.press("Escape");
  const grace = await join("Grace", "shared", { address: short });
  await expectTile(grace, "show a picture", "Ada", ({ picture }) => picture === "true");
  await expectTile(ada, "show a picture", "Grace", ({ picture }) => picture === "true");
  const key = new URLSearchParams(new URL(short).hash.slice(1)).get("key");
  for (const [method, target] of [["GET", "ext/sessions"], ["POST", "ext/tokens"], ["GET", "ext/rooms/other"]]) {
    const { status } = await server.api(method, target, { token: key, body: method === "POST" ? { rooms: ["*"] } : undefined });
    assert.equal(status, 403, `${method} ${target}`);
  }
});

test("what mint-token prints opens its room, in the link or pasted", async () => {
  // Variables of the tests are not for it.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("RINGCAST_")));
  const mint = (...args) =>
    execFileSync(binary, ["mint-token", "--app", `${server.app}:${server.secret}`, ...args], { env, encoding: "utf8" }).trim();
  const token = mint("--room", "minted", "--publish", "*", "--subscribe", "*", "--subject", "ada");
  const ada = await join("Ada", "minted", { address: link("minted", token) });
  const pasted = await open(`${server.origin}/?room=minted`);
  await pasted.fill("#key", mint("--room", "min*", "--publish", "*", "--subscribe", "*", "--subject", "grace"));
  assert.equal(await pasted.inputValue("#app"), server.app, "the token names its app");
  await pasted.fill("#name", "Grace");
  await pasted.click("#join");
  await expectTile(pasted, "show a picture", "Ada", ({ picture }) => picture === "true");
  await expectTile(ada, "show a picture", "Grace", ({ picture }) => picture === "true");
  // Who may only watch sees the others, and is told so.
  const viewer = await join("Vera", "minted", { address: link("minted", mint("--room", "minted", "--subscribe", "*")) });
  await expectTile(viewer, "show a picture", "Ada", ({ picture }) => picture === "true");
  assert.match(await viewer.locator("#notice-rights").textContent(), /watch and listen only/);
  assert.equal(await viewer.locator("#toggle-camera").isDisabled(), true);
  for (const page of [ada, pasted, viewer]) assert.deepEqual(page.consoleLines.filter((line) => line.startsWith("error")), []);
});

test("a key that does not do is told why in plain words", async () => {
  const now = Math.floor(Date.now() / 1_000);
  const all = { rooms: ["garden"], publish: ["*"], subscribe: ["*"] };
  const table = [
    [sign({ ...all, exp: now - 3_600 }), /^This link ran out on .*\. Ask for a new one\.$/],
    [sign({ ...all, nbf: now + 3_600, exp: now + 7_200 }), /works only from/],
    [sign({ ...all, iss: "other-app" }), /for the app “other-app”/],
    [sign({ ...all, rooms: ["yard", "attic-*"] }), /does not open the room “garden”, but “yard”, “attic-\*”/],
    [sign({ publish: ["*"], subscribe: ["*"] }), /opens no room.*mint-token --room garden/],
    [sign({ ...all, session: "0123" }), /one session/],
    [sign(all, "another-secret-of-more-than-32-characters"), /key in this link is not accepted/],
  ];
  for (const [key, words] of table) assert.match(await refusal(link("garden", key)), words);
  const page = await open(link("garden", table[0][0]), { width: 360, height: 740 });
  await page.locator("#notice-ended").waitFor();
  await page.screenshot({ path: path.join(folder, "expired.png") });
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

test("of eight people the three who spoke last are seen", async (t) => {
  const names = ["Bob", "Cleo", "Dora", "Emil", "Fay", "Gus", "Hana"];
  const crowd = await browser.tab(pages.url);
  tabs.push(crowd);
  await crowd.evaluate(async ({ apiUrl, token, names }) => {
    window.voices = {};
    for (const [index, name] of names.entries()) {
      const client = new ringcast.Ringcast({ apiUrl, token });
      const voice = (voices[name] = new Voice({ hz: 250 + 40 * index }));
      const { track } = await makeSource({ kind: "picture", identity: 20 + 25 * index });
      await Promise.all([client.publishTrack(track, { trackName: "camera" }), client.publishTrack(voice.track, { trackName: "microphone" })]);
      await client.call("PUT", "ext/stages/forum", { seats: 3 });
      await client.call("PUT", `ext/stages/forum/members/${client.sessionId}`, { audio: "microphone", video: "camera" });
      const tracks = [["camera", "video"], ["microphone", "audio"]].map(([source, kind]) => ({ trackName: source, source, kind, muted: false }));
      const announce = () => client.call("PUT", `ext/rooms/forum/members/${name}`, { name, sessionId: client.sessionId, tracks });
      await announce();
      setInterval(announce, 4_000);
    }
  }, { apiUrl: server.base, token: server.secret, names });
  const ada = await join("Ada", "forum", { address: link("forum").replace("#", "&seats=3#") });
  const seats = () => ada.evaluate(() => [...document.querySelectorAll("#tiles .tile")].map((tile) => ({ name: tile.getAttribute("aria-label"), picture: tile.dataset.picture, time: tile.querySelector("video").currentTime })));
  const shows = (name) => until(`a seat to show ${name}`, async () => {
    const seen = await seats();
    return { done: seen.some((seat) => seat.name === name && seat.picture === "true" && seat.time > 0), seen };
  }, { ms: 25_000 });
  await until("all to be there", async () => {
    const seen = await ada.locator("#audience .tile").count();
    return { done: seen === 8, seen };
  });
  for (const name of ["Hana", "Dora", "Fay", "Gus"]) {
    await crowd.evaluate((speaker) => Object.entries(voices).forEach(([name, voice]) => (voice.speaks = name === speaker)), name);
    await shows(name);
  }
  const seen = await seats();
  assert.deepEqual(seen.map(({ name }) => name).sort(), ["Dora", "Fay", "Gus"]);
  await until("pictures in all seats", async () => ({ done: (await seats()).every(({ picture }) => picture === "true"), seen: await seats() }));
  await ada.screenshot({ path: path.join(folder, "stage.png") });
  t.diagnostic(`screenshot: ${folder}/stage.png`);
});
