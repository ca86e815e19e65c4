// The DTLS handshake with browsers: certificates of ECDSA and of RSA, each way of offering, and what is agreed on.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, afterEach, before, describe, test } from "node:test";
import { FIREFOX, startFirefox } from "../lib/firefox.js";
import { useRig } from "../lib/rig.js";

const CERTIFICATES = {
  ECDSA: { name: "ECDSA", namedCurve: "P-256" },
  RSA: { name: "RSASSA-PKCS1-v1_5", modulusLength: 2048, publicExponent: [1, 0, 1], hash: "SHA-256" },
};
/** Chromium makes none of these. */
const OTHER_CURVES = {
  "P-384": { name: "ECDSA", namedCurve: "P-384" },
  "P-521": { name: "ECDSA", namedCurve: "P-521" },
};

/**
 * Runs in a page: publishes a drawing with a certificate of that kind, by WHIP or by a push, and plays it, by WHEP or by
 * a pull that the server offers. Resolves with what each side's transport agreed on, and the frames that were decoded.
 */
async function publishAndPlay({ base, whip, whep, token, algorithm, byApi }) {
  const keygen = algorithm.modulusLength ? { ...algorithm, publicExponent: new Uint8Array(algorithm.publicExponent) } : algorithm;
  const connect = async () => new RTCPeerConnection({ certificates: [await RTCPeerConnection.generateCertificate(keygen)] });
  const post = async (url, type, body, method = "POST") => {
    const reply = await fetch(url, { method, headers: { Authorization: `Bearer ${token}`, "Content-Type": type }, body });
    if (!reply.ok) throw new Error(`${url}: ${reply.status} ${await reply.text()}`);
    return type === "application/sdp" ? reply.text() : reply.json();
  };
  const call = (path, body, method) => post(`${base}/${path}`, "application/json", JSON.stringify(body ?? {}), method);
  const offer = async (pc, url) => {
    await pc.setLocalDescription();
    await pc.setRemoteDescription({ type: "answer", sdp: await post(url, "application/sdp", pc.localDescription.sdp) });
  };
  const eventually = async (what, check) => {
    const end = performance.now() + 30_000;
    for (;;) {
      const found = await check();
      if (found) return found;
      if (performance.now() > end) throw new Error(`no ${what}: ${sender.connectionState}, ${viewer?.connectionState}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };

  const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 180 });
  const pen = canvas.getContext("2d");
  const drawing = setInterval(() => {
    pen.fillStyle = `rgb(${Math.random() * 255}, 80, 80)`;
    pen.fillRect(0, 0, 320, 180);
  }, 50);
  const sender = await connect();
  let viewer;
  try {
    const transceiver = sender.addTransceiver(canvas.captureStream(20).getVideoTracks()[0], { direction: "sendonly" });
    let publisher;
    if (byApi) {
      publisher = (await call("sessions/new")).sessionId;
      await sender.setLocalDescription();
      const reply = await call(`sessions/${publisher}/tracks/new`, {
        sessionDescription: { type: "offer", sdp: sender.localDescription.sdp },
        tracks: [{ location: "local", mid: transceiver.mid, trackName: "drawing" }],
      });
      await sender.setRemoteDescription(reply.sessionDescription);
    } else {
      await offer(sender, whip);
    }
    await eventually("connection", () => sender.connectionState === "connected");
    viewer = await connect();
    if (byApi) {
      const { sessionId } = await call("sessions/new");
      const tracks = [{ location: "remote", sessionId: publisher, trackName: "drawing" }];
      const reply = await call(`sessions/${sessionId}/tracks/new`, { tracks });
      await viewer.setRemoteDescription(reply.sessionDescription);
      await viewer.setLocalDescription();
      const answer = { type: "answer", sdp: viewer.localDescription.sdp };
      await call(`sessions/${sessionId}/renegotiate`, { sessionDescription: answer }, "PUT");
    } else {
      viewer.addTransceiver("video", { direction: "recvonly" });
      await offer(viewer, whep);
    }
    const transport = async (pc) => {
      const stats = [...(await pc.getStats()).values()].find(({ type }) => type === "transport") ?? {};
      return { cipher: stats.srtpCipher, version: stats.tlsVersion, role: stats.dtlsRole };
    };
    const frames = await eventually("frame", async () =>
      [...(await viewer.getStats()).values()].find(({ type, framesDecoded }) => type === "inbound-rtp" && framesDecoded > 5)?.framesDecoded);
    return { frames, sender: await transport(sender), viewer: await transport(viewer) };
  } finally {
    clearInterval(drawing);
    sender.close();
    viewer?.close();
  }
}

function expectations(rig, page, isChromium) {
  const certificates = isChromium ? CERTIFICATES : { ...CERTIFICATES, ...OTHER_CURVES };
  for (const [kind, algorithm] of Object.entries(certificates)) {
    for (const byApi of [false, true]) {
      const way = byApi ? "by push and by pull" : "by WHIP and by WHEP";
      test(`a certificate of ${kind} connects ${way}`, async (t) => {
        const { server } = rig();
        const stream = `dtls-${isChromium}-${kind}-${byApi}`;
        const settings = { base: server.base, whip: server.whip(stream), whep: server.whep(stream), token: server.secret, algorithm, byApi };
        const result = await (await page()).evaluate(publishAndPlay, settings);
        t.diagnostic(JSON.stringify(result));
        assert.ok(result.frames > 5);
        for (const [side, { cipher, version, role }] of Object.entries({ sender: result.sender, viewer: result.viewer })) {
          if (!isChromium && cipher === undefined) continue;
          assert.match(cipher, /^(SRTP_)?AEAD_AES_(128|256)_GCM/, `the ${side} has ${cipher}`);
          // Where the client offers, the server begins, by 1.3; where the server offers, browsers begin.
          const begins = !(byApi && side === "viewer");
          if (isChromium) assert.deepEqual({ role, version }, begins ? { role: "server", version: "FEFC" } : { role: "client", version: "FEFD" });
        }
      });
    }
  }
}

describe("Chromium", () => {
  const rig = useRig({ before, after, afterEach });
  expectations(rig, async () => (await rig().tab()).page, true);
});

const skip = existsSync(FIREFOX) ? false : `${FIREFOX} is not there`;
describe("Firefox", { skip }, () => {
  const rig = useRig({ before, after, afterEach });
  let firefox;
  let page;
  before(
    async () => {
      firefox = await startFirefox();
      page = await firefox.tab(rig().pages.url);
    },
    { timeout: 120_000 },
  );
  after(() => firefox?.stop());
  expectations(rig, async () => page, false);
});

describe("with media.dtls_role = passive", () => {
  const rig = useRig({ before, after, afterEach }, { server: { variables: { RINGCAST_MEDIA_DTLS_ROLE: "passive" } } });
  test("browsers begin, by 1.2 and with AES-GCM as well", async () => {
    const { server } = rig();
    const settings = { base: server.base, whip: server.whip("dtls-passive"), whep: server.whep("dtls-passive"), token: server.secret };
    const { sender, viewer } = await (await rig().tab()).page.evaluate(publishAndPlay, { ...settings, algorithm: CERTIFICATES.RSA, byApi: false });
    for (const side of [sender, viewer]) assert.deepEqual(side, { cipher: side.cipher, version: "FEFD", role: "client" });
    for (const { cipher } of [sender, viewer]) assert.match(cipher, /AEAD_AES_256_GCM/);
  });
});
