// How soon a real browser finds out what its uplink carries: what it believes 1.5 s after it has connected. One line of JSON
// for each connection.
//
//   node bench/join/uplink.js --rounds N --app ID --secret SECRET NAME=API,MEDIA_PORT ... NAME=direct
//
// Each connection is new and sends sound and a picture of 1280x720: by WHIP to a server, or to another connection of the
// same tab. They take turns, so that what disturbs the machine disturbs all of them.

import { parseArgs } from "node:util";
import { openStage, serversOf } from "./stage.js";

/** A browser that goes by its first probe is far above its start value of 300 kbit/s by then. */
const SETTLED_MS = 1500;
/** Between two connections: what the former one leaves to do is over. */
const PAUSE_MS = 300;

/** What runs in the page. */
function kit() {
  const { sleep, call, offer } = window.stage;

  const connected = async (pc, patience) => {
    const until = performance.now() + patience;
    while (pc.connectionState !== "connected") {
      if (performance.now() > until) throw new Error(`not connected after ${patience} ms: ${pc.connectionState}`);
      await sleep(5);
    }
  };

  const sendTo = {
    async direct(pc) {
      const far = new RTCPeerConnection();
      for (const [from, to] of [[pc, far], [far, pc]]) {
        from.addEventListener("icecandidate", ({ candidate }) => candidate && to.addIceCandidate(candidate));
      }
      await far.setRemoteDescription({ type: "offer", sdp: await offer(pc) });
      await far.setLocalDescription(await far.createAnswer());
      await pc.setRemoteDescription(far.localDescription);
      return () => far.close();
    },
    async whip(pc, { whip, secret }) {
      const { text, location } = await call("POST", whip, { secret, body: await offer(pc) });
      await pc.setRemoteDescription({ type: "answer", sdp: text });
      return () => call("DELETE", new URL(location, whip).href, { secret });
    },
  };

  /** Sends to somebody, and resolves with what the browser believes that it can send. */
  window.uplink = async ({ patience, settled, ...to }) => {
    window.camera ??= await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 1280, height: 720 } });
    const pc = new RTCPeerConnection();
    for (const track of window.camera.getTracks()) pc.addTransceiver(track, { direction: "sendonly", streams: [window.camera] });
    const end = await sendTo[to.whip ? "whip" : "direct"](pc, to);
    try {
      await connected(pc, patience);
      await sleep(settled);
      const stats = [...(await pc.getStats()).values()];
      const { selectedCandidatePairId } = stats.find(({ type }) => type === "transport");
      const { availableOutgoingBitrate } = stats.find(({ id }) => id === selectedCandidatePairId);
      const video = stats.find(({ type, kind }) => type === "outbound-rtp" && kind === "video");
      return { kbps: Math.round(availableOutgoingBitrate / 1000), height: video.frameHeight, frames: video.framesEncoded };
    } finally {
      pc.close();
      await end();
    }
  };
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: Object.fromEntries(["rounds", "app", "secret"].map((name) => [name, { type: "string" }])),
});
const sides = serversOf(positionals, values.app);
const { tab, end } = await openStage();
try {
  const page = await tab("localhost", kit);
  await page.bringToFront();
  for (let round = 1; round <= Number(values.rounds); round += 1) {
    for (const { name, whip } of round % 2 ? sides : sides.toReversed()) {
      const options = { whip, secret: values.secret, patience: 20_000, settled: SETTLED_MS };
      const sent = page.evaluate((options) => window.uplink(options), options);
      const found = await sent.catch((error) => ({ error: error.message.split("\n")[0] }));
      console.log(JSON.stringify({ server: name, round, ...found }));
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
} finally {
  await end();
}
