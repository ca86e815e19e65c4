// TURN: a call whose both ends reach the server through coturn alone, with credentials that the server made.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import dgram from "node:dgram";
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { after, afterEach, before, test } from "node:test";
import { makeNetns } from "../lib/netns.js";
import { picture, Rig, tone } from "../lib/rig.js";
import { until } from "../lib/until.js";

const SHARED = "shared-by-ringcast-and-coturn";
const TURN_BIN = process.env.TURN_BIN ?? "/usr/bin/turnserver";
let rig;
let netns;
let relay;

/** Whether a STUN server answers a binding request (RFC 8489 6.1). */
function answers(host, port) {
  return new Promise((resolve) => {
    const socket = dgram.createSocket("udp4");
    const end = (result) => {
      clearTimeout(late);
      socket.close();
      resolve(result);
    };
    const late = setTimeout(() => end(false), 300);
    socket.on("error", () => end(false)).on("message", () => end(true));
    socket.send(Buffer.from(`000100002112a442${"07".repeat(12)}`, "hex"), port, host);
  });
}

/** coturn as a process of this test: no service, no files outside of its folder. */
async function startCoturn(host) {
  const port = 20_000 + (process.pid % 9_000);
  const folder = await mkdtemp(path.join(os.tmpdir(), "ringcast-coturn-"));
  const child = spawn(TURN_BIN, [
    "-n", "--no-cli", "--no-tls", "--no-dtls", "--use-auth-secret", `--static-auth-secret=${SHARED}`, "--realm=ringcast",
    `--listening-ip=${host}`, `--relay-ip=${host}`, `--listening-port=${port}`, "--min-port=30000", "--max-port=39000",
    "--log-file=stdout", "--simple-log", `--pidfile=${path.join(folder, "pid")}`, `--userdb=${path.join(folder, "db")}`,
  ], { stdio: ["ignore", "pipe", "pipe"] });
  const output = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => output.push(...String(chunk).split("\n")));
  let exit = null;
  child.on("exit", (code, signal) => (exit = { code, signal }));
  child.on("error", (error) => (exit = { error: error.message }));
  const coturn = {
    url: `turn:${host}:${port}?transport=udp`,
    output,
    async stop() {
      if (!exit) {
        const ended = new Promise((resolve) => child.once("exit", resolve));
        child.kill("SIGTERM");
        const hardly = setTimeout(() => child.kill("SIGKILL"), 5_000);
        await ended;
        clearTimeout(hardly);
      }
      await rm(folder, { recursive: true, force: true });
    },
  };
  try {
    await until("coturn to listen", async () => {
      if (exit) throw Object.assign(new Error(`coturn ended: ${JSON.stringify(exit)}\n${output.join("\n")}`), { isFinal: true });
      return { done: await answers(host, port), seen: output.slice(-5) };
    });
  } catch (error) {
    await coturn.stop();
    throw error;
  }
  return coturn;
}

before(async () => {
  netns = await makeNetns();
  relay = await startCoturn(netns.host);
  rig = await Rig.start({
    host: netns.host,
    server: {
      extra: ["--media-address", netns.host],
      variables: { RINGCAST_TURN_URLS: relay.url, RINGCAST_TURN_SECRET: SHARED, RINGCAST_TURN_KEYS: "key:token-of-the-key" },
    },
    browser: {
      executablePath: netns.executablePath,
      hosts: [netns.host],
      // partytracks needs a secure context; this origin is one only on our say-so.
      argsFor: ({ pages }) => [`--unsafely-treat-insecure-origin-as-secure=${new URL(pages.url).origin}`],
    },
  });
}, { timeout: 60_000 });
after(async () => {
  await rig?.stop();
  await relay?.stop();
  await netns?.stop();
});
afterEach(() => rig?.clear());

/** A tab in which every connection goes through a relay or not at all. */
async function relayedTab() {
  const page = await rig.browser.tab(rig.pages.url);
  await page.evaluate(() => {
    const Connection = window.RTCPeerConnection;
    window.RTCPeerConnection = class extends Connection {
      constructor(configuration) {
        super({ ...configuration, iceTransportPolicy: "relay" });
      }
    };
  });
  return page;
}

test("publisher and viewer meet through the relay, with credentials that generate-ice-servers made", async () => {
  const [alice, bob] = [await rig.peer("alice", { page: await relayedTab() }), await rig.peer("bob", { page: await relayedTab() })];
  const [camera, microphone] = await Promise.all([alice.push("camera", picture(77)), alice.push("microphone", tone(550))]);
  const [seen, heard] = await Promise.all([bob.pull(camera.metadata), bob.pull(microphone.metadata)]);
  await seen.expectPicture(77, { frames: 20 });
  await heard.expectTone(550);
  for (const peer of [alice, bob]) {
    const pair = await peer.call("selectedPair");
    assert.equal(pair.localType, "relay", JSON.stringify(pair));
  }
});

test("coturn takes the credentials of a key, and neither wrong nor expired ones", async () => {
  const reply = await fetch(`${rig.server.origin}/v1/turn/keys/key/credentials/generate-ice-servers`, {
    method: "POST",
    headers: { Authorization: "Bearer token-of-the-key" },
    body: JSON.stringify({ ttl: 60, customIdentifier: "carol" }),
  });
  assert.equal(reply.status, 201);
  const [good] = (await reply.json()).iceServers;
  assert.match(good.username, /^\d+:carol$/);
  const tab = await relayedTab();
  /** Gathers with these credentials until a candidate or a refusal of the TURN server comes. */
  const gather = (server) =>
    tab.evaluate(async (server) => {
      const pc = new RTCPeerConnection({ iceServers: [server] });
      const [candidates, errors] = [[], []];
      await new Promise((resolve) => {
        pc.onicecandidate = ({ candidate }) => candidate?.candidate && resolve(candidates.push(candidate.type));
        // 701: from one of its addresses the server cannot be reached; the others go on.
        pc.onicecandidateerror = ({ errorCode }) => errorCode !== 701 && resolve(errors.push(errorCode));
        pc.createDataChannel("x");
        pc.setLocalDescription();
      });
      pc.close();
      return { candidates, errors };
    }, server);
  const taken = await gather(good);
  assert.deepEqual([...new Set(taken.candidates)], ["relay"]);
  const signed = (username) => ({ ...good, username, credential: createHmac("sha1", SHARED).update(username).digest("base64") });
  const now = Math.floor(Date.now() / 1000);
  assert.deepEqual([...new Set((await gather(signed(`${now + 60}:dave`))).candidates)], ["relay"], "the test signs as the server does");
  const bad = [
    ["a wrong credential", { ...good, credential: "d3Jvbmc=" }],
    ["a longer life than was signed", { ...good, username: good.username.replace(/^\d+/, (end) => String(Number(end) + 3_600)) }],
    ["an expired one", signed(`${now - 60}:dave`)],
  ];
  for (const [what, server] of bad) {
    const { candidates, errors } = await gather(server);
    assert.deepEqual(candidates, [], what);
    assert.ok(errors.includes(401), `${what}: ${errors}`);
  }
  await tab.close();
});
