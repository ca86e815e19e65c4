// libdatachannel, a native stack that knows nothing but data channels, beside Chromium.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import nodeDataChannel from "node-datachannel";
import { DataPeer } from "./lib/datapeer.js";
import { useRig } from "./lib/rig.js";
import { until } from "./lib/until.js";

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
