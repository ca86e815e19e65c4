// libdatachannel, a native stack, beside Chromium: data channels, and media without a sender report.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import nodeDataChannel from "node-datachannel";
import { DataPeer } from "../lib/datapeer.js";
import { useRig } from "../lib/rig.js";
import { until } from "../lib/until.js";

const rig = useRig({ before, after, afterEach }, { server: { shards: 2 } });
const open = [];
afterEach(() => open.splice(0).forEach((pc) => pc.close()));
// Its threads keep the process alive, and its own cleaning up ends the process by a signal now and then. So the process
// ends itself, when what it had to say is written.
after(() => void setTimeout(() => process.exit(), 1_000));

/** A client whose offer has a section for data channels and nothing else. */
async function connect() {
  const { server } = rig();
  const pc = new nodeDataChannel.PeerConnection("native", { iceServers: [], maxMessageSize: 262_144 });
  open.push(pc);
  let offer;
  pc.onLocalDescription((sdp, type) => (offer = { sdp, type }));
  pc.createDataChannel("server-events");
  await until("the offer", () => offer?.type === "offer");
  const { reply: made } = await server.api("POST", "sessions/new", { body: { sessionDescription: offer } });
  pc.setRemoteDescription(made.sessionDescription.sdp, made.sessionDescription.type);
  await until("libdatachannel to be connected", () => pc.state() === "connected", { ms: 20_000 });
  return {
    pc,
    session: made.sessionId,
    async channel(wish) {
      const { reply } = await server.api("POST", `sessions/${made.sessionId}/datachannels/new`, { body: { dataChannels: [wish] } });
      const { id, errorCode } = reply.dataChannels[0];
      assert.equal(errorCode, undefined);
      const channel = pc.createDataChannel(wish.dataChannelName, { negotiated: true, id });
      const got = [];
      channel.onMessage((message) => got.push(message));
      await until(`${wish.dataChannelName} to be open`, () => channel.isOpen());
      await until(`${wish.dataChannelName} to be active`, async () => {
        const { reply } = await server.api("GET", `sessions/${made.sessionId}`);
        return reply.dataChannels.some((known) => known.id === id && known.status === "active");
      });
      return { channel, got, id };
    },
  };
}

test("libdatachannel and Chromium publish to each other", async () => {
  const [native, page] = [await connect(), await DataPeer.open((await rig().tab()).page, rig().server)];
  const sent = await native.channel({ location: "local", dataChannelName: "from native" });
  const id = await page.publish("from page");
  await page.active("from page", id);
  const got = await native.channel({ location: "remote", sessionId: page.session, dataChannelName: "from page" });
  await page.active("from native", await page.subscribe(native, "from native"));
  sent.channel.sendMessage("hello");
  sent.channel.sendMessageBinary(Buffer.alloc(200_000, 7));
  await page.run("send", "from page", "hello yourself");
  await page.run("sendBytes", "from page", 200_000, 3);
  const [text, binary] = await page.got("from native", 2);
  assert.deepEqual([text.content, binary.text, binary.length], ["hello", false, 200_000]);
  await until("libdatachannel to get both", () => got.got.length === 2);
  assert.equal(got.got[0], "hello yourself");
  assert.equal(got.got[1].byteLength, 200_000);
  assert.equal(new Uint8Array(got.got[1])[1], 34);
  await page.run("close");
});

/** Sends `payload` as a packet of its own each `ms` on a track of libdatachannel, whose clock ticks `rate` times a second. */
function sendEach(track, { ssrc, pt, payload, ms, rate }) {
  let count = 0;
  const timer = setInterval(() => {
    const packet = Buffer.alloc(12 + payload.length);
    packet.writeUInt8(0x80, 0);
    packet.writeUInt8(0x80 | pt, 1);
    packet.writeUInt16BE(count & 0xffff, 2);
    packet.writeUInt32BE((1_000 + (count * ms * rate) / 1_000) >>> 0, 4);
    packet.writeUInt32BE(ssrc, 8);
    payload.copy(packet, 12);
    if (track.isOpen()) track.sendMessageBinary(packet);
    count += 1;
  }, ms);
  return () => clearInterval(timer);
}

/** A keyframe of VP8 of a small picture, in one payload (RFC 7741 4.2: begins the first partition). */
const keyframe = async (page) => {
  const bytes = await page.evaluate(async () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 64 });
    canvas.getContext("2d").fillRect(8, 8, 16, 16);
    let encoded;
    const encoder = new VideoEncoder({
      output: (chunk) => chunk.copyTo((encoded = new Uint8Array(chunk.byteLength))),
      error: () => {},
    });
    encoder.configure({ codec: "vp8", width: 64, height: 64 });
    encoder.encode(new VideoFrame(canvas, { timestamp: 0 }), { keyFrame: true });
    await encoder.flush();
    return [...encoded];
  });
  return Buffer.from([0x10, ...bytes]);
};

test("a publisher that sends no sender reports is aligned by ours", async () => {
  const { server } = rig();
  const { page } = await rig().tab();
  const pc = new nodeDataChannel.PeerConnection("silent clock", { iceServers: [] });
  open.push(pc);
  let offer;
  pc.onLocalDescription((sdp, type) => (offer = { sdp, type }));
  const [audio, video] = [new nodeDataChannel.Audio("0", "SendOnly"), new nodeDataChannel.Video("1", "SendOnly")];
  audio.addOpusCodec(111);
  audio.addSSRC(1111, "native", "native", "audio");
  video.addVP8Codec(96);
  video.addSSRC(2222, "native", "native", "video");
  const tracks = [pc.addTrack(audio), pc.addTrack(video)];
  pc.setLocalDescription();
  await until("the offer", () => offer?.type === "offer");
  const headers = { Authorization: `Bearer ${server.secret}`, "Content-Type": "application/sdp" };
  const answer = await fetch(server.whip("silent-clock"), { method: "POST", headers, body: offer.sdp });
  assert.equal(answer.status, 201);
  pc.setRemoteDescription(await answer.text(), "answer");
  await until("libdatachannel to be connected", () => pc.state() === "connected", { ms: 20_000 });
  // Twenty milliseconds of silence in Opus (RFC 6716 3.1: CELT, one frame).
  const silence = Buffer.from([0xf8, 0xff, 0xfe]);
  const stops = [
    sendEach(tracks[0], { ssrc: 1111, pt: 111, payload: silence, ms: 20, rate: 48_000 }),
    sendEach(tracks[1], { ssrc: 2222, pt: 96, payload: await keyframe(page), ms: 100, rate: 90_000 }),
  ];
  try {
    const viewer = await rig().whep("silent-clock");
    for (const kind of ["audio", "video"]) {
      await until(`reports of ${kind}, and its place in time`, async () => {
        const seen = await viewer.peer.call("reported", kind);
        return { done: seen.reports > 1 && seen.remote !== null && seen.playout !== null, seen };
      }, { ms: 30_000 });
    }
  } finally {
    stops.forEach((stop) => stop());
  }
});
