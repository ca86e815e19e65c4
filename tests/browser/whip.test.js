// WHIP and WHEP by a plain client in Chromium.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { useRig } from "./lib/rig.js";

const rig = useRig({ before, after, afterEach });

/** Runs in the page: POSTs an offer, applies the answer, returns status and the headers that matter. */
const helpers = () => {
  const post = async (pc, url, token) => {
    await pc.setLocalDescription(await pc.createOffer());
    const response = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/sdp", Authorization: `Bearer ${token}` },
      body: pc.localDescription.sdp,
    });
    const text = await response.text();
    if (response.status !== 201) throw new Error(`${response.status} ${text}`);
    await pc.setRemoteDescription({ type: "answer", sdp: text });
    return { location: response.headers.get("Location"), etag: response.headers.get("ETag") };
  };
  window.view = async (url, token) => {
    const pc = (window.viewer = new RTCPeerConnection({ bundlePolicy: "max-bundle" }));
    pc.addTransceiver("video", { direction: "recvonly" });
    pc.addTransceiver("audio", { direction: "recvonly" });
    return post(pc, url, token);
  };
  window.publish = async (url, token) => {
    const pc = (window.publisher = new RTCPeerConnection({ bundlePolicy: "max-bundle" }));
    const canvas = document.createElement("canvas");
    const context = canvas.getContext("2d");
    setInterval(() => {
      context.fillStyle = `rgb(${Date.now() % 255},0,0)`;
      context.fillRect(0, 0, canvas.width, canvas.height);
    }, 50);
    const audio = new AudioContext();
    const voice = audio.createMediaStreamDestination();
    const tone = audio.createOscillator();
    tone.connect(voice);
    tone.start();
    const stream = new MediaStream([...canvas.captureStream(20).getTracks(), ...voice.stream.getTracks()]);
    stream.getTracks().forEach((track) => pc.addTransceiver(track, { direction: "sendonly", streams: [stream] }));
    return post(pc, url, token);
  };
  window.received = async () => {
    const stats = [...(await window.viewer.getStats()).values()].filter(({ type }) => type === "inbound-rtp");
    const of = (kind) => stats.find((entry) => entry.kind === kind) ?? {};
    return { frames: of("video").framesDecoded ?? 0, audio: of("audio").packetsReceived ?? 0 };
  };
  window.more = async (frames, ms = 20_000) => {
    const end = performance.now() + ms;
    const from = await window.received();
    for (;;) {
      const now = await window.received();
      if (now.frames - from.frames >= frames && now.audio > from.audio) return true;
      if (performance.now() > end) throw new Error(`${JSON.stringify(from)} became ${JSON.stringify(now)}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
};

test("a viewer who came first sees the stream when it comes, and again when it returns", async () => {
  const { server } = rig();
  const { page } = await rig().tab();
  await page.evaluate(helpers);
  const urls = ["whip", "whep"].map((kind) => `${server.origin}/${kind}/${server.app}/studio`);
  const viewer = await page.evaluate(([[, url], token]) => window.view(url, token), [urls, server.secret]);
  assert.match(viewer.location, /\/whep\//);
  assert.match(viewer.etag, /^"/);
  const first = await page.evaluate(([[url], token]) => window.publish(url, token), [urls, server.secret]);
  assert.equal(await page.evaluate(() => window.more(20)), true);
  // It goes, and another takes its name.
  const gone = await fetch(new URL(first.location, server.origin), { method: "DELETE", headers: { Authorization: `Bearer ${server.secret}` } });
  assert.equal(gone.status, 200);
  await page.evaluate(() => window.publisher.close());
  await page.evaluate(([[url], token]) => window.publish(url, token), [urls, server.secret]);
  assert.equal(await page.evaluate(() => window.more(20)), true);
});

test("a stream by WHIP is a session with tracks that others pull", async () => {
  const { server } = rig();
  const { page } = await rig().tab();
  await page.evaluate(helpers);
  const url = `${server.origin}/whip/${server.app}/stage`;
  const { location } = await page.evaluate(([to, token]) => window.publish(to, token), [url, server.secret]);
  const sessionId = location.split("/").at(-1);
  const { status, reply } = await server.api("GET", `sessions/${sessionId}`);
  assert.equal(status, 200);
  assert.deepEqual(reply.tracks.map((track) => track.trackName).sort(), ["audio", "video"]);
  const viewer = await rig().peer("viewer");
  const pulled = await viewer.pull({ location: "remote", sessionId, trackName: "video" });
  assert.ok(pulled);
});
