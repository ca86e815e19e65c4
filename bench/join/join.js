// Joins of a real browser at the round trips of real networks: milliseconds from "the viewer has set our description and
// its own" to its first decoded frame. One line of JSON for each join.
//
//   node bench/join/join.js --rounds N --rtts 0,100 --ways whep,pull NAME=API,MEDIA_PORT ... --app ID --secret SECRET
//     --after MS    joins twice each time, the second so much later than the first has begun
//     --watch S     stays so many seconds after the first frame, and tells how long frames waited in the player's buffer
//
// Servers take turns, so that what disturbs the machine disturbs all of them. Publisher and viewers are tabs of one
// Chromium; the publisher is on loopback, and between viewers and server stands a relay.

import dgram from "node:dgram";
import os from "node:os";
import { once } from "node:events";
import { parseArgs } from "node:util";
import { openStage, serversOf } from "./stage.js";

const JOIN_PATIENCE_MS = 20_000;
/** The first of a pair comes so long after the last viewer, so that nothing that was done for that one serves it. */
const ALONE_MS = 1500;
// On loopback a browser has two candidates that lead to the server, and checks take turns; a viewer elsewhere has one.
const ADDRESS = Object.values(os.networkInterfaces()).flat().find(({ family, internal }) => family === "IPv4" && !internal)?.address;
if (!ADDRESS) throw new Error("joins need a network interface with an IPv4 address besides loopback");

/** Takes what viewers send to the server, and what it sends them, and delays each datagram by half a round trip. */
class Relay {
  ways = new Map(); // source of a viewer -> our socket towards the server

  static async start(serverPort, rtt) {
    const relay = new Relay();
    Object.assign(relay, { serverPort, half: rtt / 2, socket: dgram.createSocket("udp4") });
    relay.socket.bind(0, ADDRESS);
    await once(relay.socket, "listening");
    relay.port = relay.socket.address().port;
    relay.socket.on("message", (datagram, from) => {
      const way = relay.way(from);
      relay.later(() => way.send(datagram, serverPort, "127.0.0.1"));
    });
    return relay;
  }

  way({ address, port }) {
    const name = `${address}:${port}`;
    let way = this.ways.get(name);
    if (!way) {
      way = dgram.createSocket("udp4");
      way.bind(0, "127.0.0.1");
      way.on("message", (datagram) => this.later(() => this.socket.send(datagram, port, address)));
      this.ways.set(name, way);
    }
    return way;
  }

  later(send) {
    const unlessOver = () => this.isOver || send();
    if (this.half > 0) setTimeout(unlessOver, this.half);
    else unlessOver();
  }

  stop() {
    this.isOver = true;
    for (const socket of [this.socket, ...this.ways.values()]) socket.close();
  }
}

/** What runs in the page. */
function kit() {
  const { sleep, call, offer } = window.stage;

  /** Leads to the relay instead of the server. */
  const through = (sdp, { relay }) =>
    sdp
      .split("\r\n")
      .filter((line) => !(line.startsWith("a=candidate:") && / tcp /i.test(line)))
      .map((line) => line.replace(/^(a=candidate:\S+ 1 udp \d+) \S+ \d+ /i, `$1 ${relay} `))
      .join("\r\n");

  /** How long frames wait between their first packet and the decoder, ms for each half second, and what became of them. */
  async function watched(pc, seconds) {
    const waits = [];
    let former = { jitterBufferDelay: 0, jitterBufferEmittedCount: 0 };
    for (let half = 0; half < 2 * seconds; half += 1) {
      await sleep(500);
      const stats = [...(await pc.getStats()).values()].find(({ type }) => type === "inbound-rtp");
      const frames = stats.jitterBufferEmittedCount - former.jitterBufferEmittedCount;
      waits.push(Math.round((1000 * (stats.jitterBufferDelay - former.jitterBufferDelay)) / Math.max(frames, 1)));
      former = stats;
    }
    const { framesDecoded: frames, framesDropped: dropped, freezeCount: freezes, pliCount: asked } = former;
    return { waits, frames, dropped, freezes, asked };
  }

  window.joining = {
    /** Sends a picture to a stream, for as long as the page is there. */
    async publish({ whip, secret }) {
      window.camera ??= await navigator.mediaDevices.getUserMedia({ video: { width: 320, height: 180 } });
      const pc = new RTCPeerConnection();
      pc.addTransceiver(window.camera.getVideoTracks()[0], { direction: "sendonly", streams: [window.camera] });
      const { text, location } = await call("POST", whip, { secret, body: await offer(pc) });
      await pc.setRemoteDescription({ type: "answer", sdp: text });
      while (pc.connectionState !== "connected") await sleep(20);
      (window.publishers ??= []).push(pc);
      return location.split("/").at(-1);
    },

    /** Joins, and joins again a little later than the first has begun: what the second waits, and what the first did. */
    async joinAfter({ after, ...options }) {
      let first;
      const begun = new Promise((resolve) => {
        first = this.join({ ...options, onBegin: resolve });
      });
      await Promise.race([begun, first]);
      await sleep(after);
      const [{ ms: alone, watched: aloneWatched }, second] = await Promise.all([first, this.join(options)]);
      return { ...second, alone, aloneWatched };
    },

    /** Joins once. Resolves with what it took and what was negotiated. */
    async join({ way, base, whep, publisher, patience, watch, onBegin, ...options }) {
      const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
      const video = document.body.appendChild(Object.assign(document.createElement("video"), { muted: true, autoplay: true }));
      const times = {};
      const since = (begun) => Math.round((performance.now() - begun) * 10) / 10;
      let begun;
      const begin = () => {
        onBegin?.();
        return performance.now();
      };
      pc.addEventListener("iceconnectionstatechange", () => {
        if (["connected", "completed"].includes(pc.iceConnectionState)) times.ice ??= since(begun);
      });
      pc.addEventListener("connectionstatechange", () => {
        if (pc.connectionState === "connected") times.connected ??= since(begun);
      });
      const frame = new Promise((resolve, reject) => {
        setTimeout(() => reject(new Error(`no frame after ${patience} ms, ${pc.connectionState}`)), patience);
        pc.addEventListener("track", ({ track }) => {
          video.srcObject = new MediaStream([track]);
          video.requestVideoFrameCallback(() => resolve(since(begun)));
        });
      });
      frame.catch(() => {});
      const description = (type, sdp) => pc.setRemoteDescription({ type, sdp: through(sdp, options) });
      try {
        if (way === "whep") {
          pc.addTransceiver("video", { direction: "recvonly" });
          const { text } = await call("POST", whep, { ...options, body: await offer(pc) });
          await description("answer", text);
          begun = begin();
        } else {
          const { sessionId } = (await call("POST", `${base}/sessions/new`, options)).json();
          const tracks = [{ location: "remote", sessionId: publisher, trackName: "video" }];
          const session = `${base}/sessions/${sessionId}`;
          const reply = (await call("POST", `${session}/tracks/new`, { ...options, body: { tracks } })).json();
          await description("offer", reply.sessionDescription.sdp);
          await pc.setLocalDescription(await pc.createAnswer());
          begun = begin();
          const body = { sessionDescription: { type: "answer", sdp: pc.localDescription.sdp } };
          await call("PUT", `${session}/renegotiate`, { ...options, body });
        }
        const ms = await frame;
        const stats = [...(await pc.getStats()).values()];
        const { srtpCipher, tlsVersion, dtlsRole } = stats.find(({ type }) => type === "transport");
        const dtls = { FEFD: "1.2", FEFC: "1.3" }[tlsVersion] ?? tlsVersion;
        const more = watch > 0 ? { watched: await watched(pc, watch) } : {};
        return { ms, ...times, profile: srtpCipher, dtls, role: dtlsRole, ...more };
      } finally {
        pc.close();
        video.remove();
      }
    },
  };
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: Object.fromEntries(["rounds", "rtts", "ways", "after", "watch", "app", "secret"].map((name) => [name, { type: "string" }])),
});
const after = Number(values.after ?? 0);
const servers = serversOf(positionals, values.app);
const { tab, end } = await openStage();

try {
  // A page that may use the camera is shown to more networks than a viewer's, so each has an origin of its own.
  const [studio, page] = await Promise.all(["localhost", "127.0.0.1"].map((host) => tab(host, kit)));
  await page.bringToFront();
  const { secret } = values;
  for (const server of servers) {
    server.publisher = await studio.evaluate((options) => window.joining.publish(options), { whip: server.whip, secret });
  }
  for (let round = 1; round <= Number(values.rounds); round += 1) {
    for (const way of values.ways.split(",")) {
      for (const rtt of values.rtts.split(",").map(Number)) {
        for (const { name, port, base, whep, publisher } of round % 2 ? servers : servers.toReversed()) {
          const relay = await Relay.start(port, rtt);
          const relayed = { relay: `${ADDRESS} ${relay.port}`, watch: Number(values.watch ?? 0) };
          const options = { way, rtt, secret, base, whep, publisher, patience: JOIN_PATIENCE_MS, ...relayed };
          if (after > 0) await new Promise((resolve) => setTimeout(resolve, ALONE_MS));
          const join = page.evaluate(
            ({ after, ...options }) => (after > 0 ? window.joining.joinAfter({ after, ...options }) : window.joining.join(options)),
            { ...options, after },
          );
          const found = await join.catch((error) => ({ error: error.message.split("\n")[0] }));
          relay.stop();
          console.log(JSON.stringify({ server: name, way, rtt, round, ...found }));
        }
      }
    }
  }
} finally {
  await end();
}
