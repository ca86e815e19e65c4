// What a test file works with: one server, one browser, peers with a name each, and the expectations about them.

import assert from "node:assert/strict";
import { startChromium, startPageServer } from "./chromium.js";
import { startServer } from "./server.js";
import { until } from "./until.js";

const MAX_PEERS_PER_TAB = 8;

/** Values for tests that need several senders: a picture and a tone which cannot be taken for another's. */
export const picture = (identity, more = {}) => ({ kind: "picture", identity, ...more });
export const tone = (hz) => ({ kind: "tone", hz });

export class Rig {
  static async start({ server = {}, browser = {}, host = "127.0.0.1" } = {}) {
    const rig = new Rig();
    try {
      rig.server = await startServer({ host, ...server });
      rig.pages = await startPageServer({ host });
      rig.browser = await startChromium({ hosts: [host], ...browser, args: browser.argsFor?.(rig) ?? browser.args ?? [] });
    } catch (error) {
      await rig.stop();
      throw error;
    }
    return rig;
  }

  tabs = []; // { page, peers: Set }
  count = 0;

  async stop() {
    await this.browser?.stop();
    await this.pages?.stop();
    await this.server?.stop();
  }

  /** A tab with room for another peer. `apart` asks for a tab of its own, `page` for that very page. */
  async tab(apart, page) {
    if (page) {
      const known = this.tabs.find((tab) => tab.page === page) ?? { page, peers: new Set(), apart: true };
      if (!this.tabs.includes(known)) this.tabs.push(known);
      return known;
    }
    let tab = apart ? null : this.tabs.find(({ peers, apart: taken }) => !taken && peers.size < MAX_PEERS_PER_TAB);
    if (!tab) {
      tab = { page: await this.browser.tab(this.pages.url), peers: new Set(), apart };
      const mine = tab;
      // A renderer that dies takes the tests of its peers with it, not those that follow.
      tab.page.on("crash", () => this.tabs.splice(this.tabs.indexOf(mine), 1));
      this.tabs.push(tab);
    }
    return tab;
  }

  /** A new client, partytracks unless `raw`. */
  async peer(name, { raw = false, apart = false, server = this.server, token = server.secret, page, extraConfig } = {}) {
    const tab = await this.tab(apart, page);
    this.count += 1;
    const peer = new Peer(this, tab, `${name}-${this.count}`);
    await peer.call("open", { base: server.base, token, raw, extraConfig });
    tab.peers.add(peer);
    return peer;
  }

  /** A new client that sends what `specs` ask for to `stream` by WHIP. Resolves when it is answered. */
  async whip(stream, specs, { page, server = this.server, token = server.secret } = {}) {
    const peer = await this.plain(page);
    const resource = await within(`${peer.name} to publish`, peer.call("whip", server.whip(stream), token, specs), 20_000, peer);
    return { peer, ...resource, sessionId: resource.location.split("/").at(-1) };
  }

  /** A new client that plays `stream` by WHEP. */
  async whep(stream, { page, server = this.server, token = server.secret } = {}) {
    const peer = await this.plain(page);
    const resource = await within(`${peer.name} to play`, peer.call("whep", server.whep(stream), token), 20_000, peer);
    return { peer, ...resource, video: new Pulled(peer, "video"), audio: new Pulled(peer, "audio") };
  }

  /** `package_`'s publisher sends what `specs` ask for to `stream` by WHIP. */
  async publishBy(package_, stream, specs, { server = this.server, token = server.secret } = {}) {
    const peer = await this.plain();
    const call = peer.call("publishBy", package_, server.whip(stream), token, specs);
    return { peer, ...(await within(`${package_} to publish`, call, 20_000)) };
  }

  /** `package_`'s player plays `stream` by WHEP. */
  async playBy(package_, stream, { server = this.server, token = server.secret } = {}) {
    const peer = await this.plain();
    await within(`${package_} to play`, peer.call("playBy", package_, server.whep(stream), token), 20_000);
    return { peer, video: new Pulled(peer, "video"), audio: new Pulled(peer, "audio") };
  }

  async plain(page) {
    const tab = await this.tab(false, page);
    this.count += 1;
    const peer = new Peer(this, tab, `plain-${this.count}`);
    tab.peers.add(peer);
    return peer;
  }

  /** Runs `work`. A failure tells the statistics of the sessions that `ids` names then, and what the server has said last. */
  async explained(ids, work) {
    try {
      return await work();
    } catch (cause) {
      const sessions = await Promise.all(
        ids().map((id) => this.server.api("GET", `ext/sessions/${id}/stats`).catch((error) => String(error))),
      );
      const server = this.server.output.slice(-80).join("\n");
      throw new Error(`${cause.message}\nsessions: ${JSON.stringify(sessions, null, 1)}\nserver: ${server}`, { cause });
    }
  }

  /** Closes the peers of one test, whatever became of it, so that tests do not load each other. */
  async clear() {
    assert.equal(this.server.exit, null, `the server has ended: ${this.server.output.join("\n")}`);
    for (const tab of this.tabs) {
      for (const peer of [...tab.peers]) await peer.close().catch(() => {});
      await tab.page.evaluate(() => window.kit.errors()).catch(() => {});
    }
  }
}

/** Registers the hooks each test file needs and returns a function that gives its rig. */
export function useRig({ before, after, afterEach }, options) {
  let rig;
  before(async () => (rig = await Rig.start(options)), { timeout: 60_000 });
  after(() => rig?.stop());
  afterEach(() => rig?.clear());
  return () => rig;
}

export class Peer {
  constructor(rig, tab, name) {
    Object.assign(this, { rig, tab, name });
  }

  call(fn, ...args) {
    return this.tab.page.evaluate(([fn, args]) => window.kit[fn](...args), [fn, [this.name, ...args]]);
  }

  async close() {
    this.tab.peers.delete(this);
    await this.call("close");
  }

  async push(label, spec) {
    const metadata = await within(`${this.name} to push ${label}`, this.call("push", label, spec), 20_000, this);
    return { peer: this, label, metadata };
  }

  async pull(metadata, { label = `pull-${(this.pulls = (this.pulls ?? 0) + 1)}`, ...options } = {}) {
    const mid = await within(`${this.name} to pull ${metadata.trackName}`, this.call("pull", label, metadata, options), 20_000, this);
    return new Pulled(this, label, mid);
  }

  /** All of `tracks` in one call; raw peers only. */
  async pullMany(tracks) {
    const labels = await within(`${this.name} to pull ${tracks.length} tracks`, this.call("pullMany", tracks), 30_000, this);
    return labels.map((label) => new Pulled(this, label));
  }

  async beginPull(metadata, label = "waiting") {
    await this.call("beginPull", label, metadata);
    return new Pulled(this, label);
  }

  async connected(ms = 15_000) {
    await until(`${this.name} to be connected`, async () => {
      const state = await this.call("state");
      return { done: state?.connection === "connected", seen: state };
    }, { ms });
  }

  until(what, probe, options) {
    return until(`${this.name} to ${what}`, probe, options);
  }

  /** This peer receives the media of `count` tracks and of no others. */
  async expectNothingElse(count) {
    const inbound = (await this.call("inbound")).filter(({ packets }) => packets > 0);
    assert.ok(inbound.length <= count, `${this.name} receives what it never asked for: ${JSON.stringify(inbound)}`);
  }

  async sessionId() {
    return until(`${this.name} to have a session`, async () => (await this.call("sessions")).at(-1));
  }
}

export class Pulled {
  constructor(peer, label, mid) {
    Object.assign(this, { peer, label, mid });
  }

  sample() {
    return this.peer.call("sample", this.label);
  }

  describe(what) {
    return `${this.peer.name} to ${what} (${this.label})`;
  }

  /** The picture is the one sent as `identity`, and `frames` more frames are decoded from now on. */
  async expectPicture(identity, { frames = 5, ms = 15_000 } = {}) {
    const start = await this.sample();
    return until(this.describe(`see picture ${identity}`), async () => {
      const now = await this.sample();
      const base = now.arrivals === start.arrivals ? start.frames : 0;
      return { done: now.picture === identity && now.frames >= base + frames, seen: now, value: now };
    }, { ms });
  }

  /** Sound arrives and its loudest tone is `hz`. */
  async expectTone(hz, { ms = 15_000 } = {}) {
    const start = await this.sample();
    return until(this.describe(`hear ${hz} Hz`), async () => {
      const now = await this.sample();
      const base = now.arrivals === start.arrivals ? start.energy : 0;
      return { done: now.energy > base && now.db > -60 && Math.abs(now.hz - hz) <= 12, seen: now, value: now };
    }, { ms });
  }

  /** Sound arrives, of whatever pitch: for a browser that cannot look into it. */
  async expectSound({ ms = 15_000 } = {}) {
    const { packets, energy } = await this.sample();
    return this.expectSample("hear sound", (now) => now.packets > packets + 20 && now.energy > energy + 0.001, { ms });
  }

  async expectSample(what, test, options) {
    return until(this.describe(what), async () => {
      const now = await this.sample();
      return { done: Boolean(test(now)), seen: now, value: now };
    }, options);
  }

  /** Nothing arrives any more: no new packet while `witness`, who does receive, gets `frames` frames. */
  async expectSilence(witness, identity, frames = 10) {
    const steady = await until(this.describe("receive no more packets"), async () => {
      const before = (await this.sample()).packets;
      await witness.expectPicture(identity, { frames: 5 });
      const now = (await this.sample()).packets;
      return { done: now === before, seen: { before, now }, value: { packets: now } };
    });
    await witness.expectPicture(identity, { frames });
    assert.equal((await this.sample()).packets, steady.packets);
  }
}

/** Runs `work` and resolves with the longest times in milliseconds without a decoded frame of each of `pulled`. */
export async function longestGaps(pulled, work) {
  await Promise.all(pulled.map(({ peer, label }) => peer.call("watchFrames", label)));
  await work();
  const gaps = await Promise.all(pulled.map(({ peer, label }) => peer.call("endWatch", label)));
  assert.ok(gaps.every(({ frames }) => frames > 0), `frames were decoded: ${JSON.stringify(gaps)}`);
  return gaps.map(({ longest }) => longest);
}

/** A bound for what has no bound of its own; the failure carries the last exchanges with the server. */
async function within(what, promise, ms, peer) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(async () => {
      const [history, state] = await Promise.all([peer?.call("history"), peer?.call("state")]).catch(() => [null, null]);
      const calls = JSON.stringify((history ?? []).slice(-6), null, 1);
      reject(new Error(`waited ${ms} ms for ${what}; state ${JSON.stringify(state)}; last calls:\n${calls}`));
    }, ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
