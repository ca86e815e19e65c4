// Data channels between Chromium tabs, on two shards.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { DataPeer } from "../lib/datapeer.js";
import { useRig } from "../lib/rig.js";
import { until } from "../lib/until.js";

const rig = useRig({ before, after, afterEach }, { server: { shards: 2 } });
let open = [];
afterEach(async () => {
  for (const peer of open) {
    await peer.run("close").catch(() => {});
    await rig().server.loseSession(peer.session);
  }
  open = [];
});

async function join(how) {
  const peer = await DataPeer.open((await rig().tab()).page, rig().server, how);
  open.push(peer);
  return peer;
}

/** A publisher and subscribers of one channel, all carrying messages. */
async function room(count, { policy, ...more } = {}) {
  const publisher = await join();
  const own = await publisher.publish("news", policy);
  await publisher.active("news", own);
  const subscribers = [];
  for (let index = 0; index < count; index += 1) {
    const subscriber = await join(index % 2 ? "server" : "client");
    const id = await subscriber.subscribe(publisher, "news", { policy, ...more });
    await subscriber.active("news", id);
    subscribers.push(Object.assign(subscriber, { id }));
  }
  return [Object.assign(publisher, { id: own }), ...subscribers];
}

const metric = (name) => rig().server.metric(name);

test("server-events is opened by the server where it offers, else by the client", async () => {
  const [ours, theirs] = [await join("server"), await join("client")];
  assert.equal(ours.reply.dataChannel.dataChannelName, "server-events");
  assert.equal(ours.reply.requiresImmediateRenegotiation, true);
  assert.equal(theirs.reply.requiresImmediateRenegotiation, false);
  assert.equal(theirs.reply.dataChannel.id, 0);
  await ours.ready("server-events");
  await theirs.ready("server-events");
  assert.equal(await ours.run("id", "server-events"), ours.reply.dataChannel.id);
  assert.equal(await theirs.run("id", "server-events"), 0);
  const again = await theirs.run("call", "POST", "datachannels/establish", {});
  assert.deepEqual([again.status, again.errorCode], [400, "decoding_error"]);
});

test("text and bytes up to the largest size reach all subscribers on both shards untouched", async () => {
  const [publisher, ...subscribers] = await room(3);
  await publisher.run("send", "news", "häßlich ✓");
  const sent = [];
  for (const [index, size] of [1, 1_000, 65_536, 262_144].entries()) {
    sent.push(await publisher.run("sendBytes", "news", size, index));
  }
  for (const subscriber of subscribers) {
    const got = await subscriber.got("news", 5);
    assert.equal(got[0].content, "häßlich ✓");
    assert.deepEqual(got.slice(1), sent);
  }
  assert.deepEqual(await publisher.run("got", "news"), []);
});

for (const policy of [{}, { ordered: false }, { maxRetransmits: 1 }]) {
  test(`empty messages arrive among others by the policy ${JSON.stringify(policy)}`, async () => {
    const [publisher, ...subscribers] = await room(2, { policy });
    for (let round = 0; round < 3; round += 1) {
      await publisher.run("send", "news", "");
      await publisher.run("send", "news", `${round}`);
      await publisher.run("sendBytes", "news", 0, 0);
    }
    for (const subscriber of subscribers) {
      const got = await subscriber.got("news", 9);
      const [texts, bytes] = [got.filter(({ text }) => text), got.filter(({ text }) => !text)];
      assert.deepEqual(texts.map(({ content }) => content).sort(), ["", "", "", "0", "1", "2"]);
      assert.deepEqual(bytes.map(({ length }) => length), [0, 0, 0]);
      if (policy.ordered !== false) assert.deepEqual(got.slice(0, 3).map(({ length }) => length), [0, 1, 0]);
    }
  });
}

for (const policy of [
  { ordered: false },
  { maxRetransmits: 0 },
  { ordered: false, maxRetransmits: 3 },
  { maxPacketLifeTime: 0 },
  { ordered: false, maxPacketLifeTime: 500 },
]) {
  test(`messages arrive by the policy ${JSON.stringify(policy)}`, async () => {
    const [publisher, subscriber] = await room(1, { policy });
    for (let index = 0; index < 20; index += 1) await publisher.run("send", "news", `${index}`);
    const texts = await subscriber.texts("news", 20);
    assert.deepEqual(texts.map(Number).sort((a, b) => a - b), [...Array(20).keys()]);
  });
}

test("one subscriber at a time may reply, and to the publisher alone", async () => {
  const [publisher, first, second] = await room(2);
  const wish = (peer, canReply) => ({ location: "remote", sessionId: publisher.session, dataChannelName: "news", canReply, id: peer.id });
  await first.run("send", "news", "not granted");
  const granted = await first.item("update", wish(first, true), "PUT");
  assert.deepEqual([granted.canReply, granted.id], [true, first.id]);
  await first.run("send", "news", "one");
  assert.deepEqual(await publisher.texts("news", 1), ["one"]);
  assert.equal((await second.item("update", wish(second, true), "PUT")).canReply, true);
  await second.run("send", "news", "two");
  assert.deepEqual(await publisher.texts("news", 2), ["one", "two"]);
  await first.run("send", "news", "evicted");
  await second.run("send", "news", "three");
  assert.deepEqual(await publisher.texts("news", 3), ["one", "two", "three"]);
  assert.equal((await second.item("update", wish(second, false), "PUT")).canReply, false);
  await second.run("send", "news", "revoked");
  await until("three messages to be dropped", async () => (await metric('ringcast_channel_dropped_total{reason="not_granted"}')) >= 3);
  assert.equal((await publisher.run("got", "news")).length, 3);
  assert.deepEqual([await first.run("got", "news"), await second.run("got", "news")], [[], []]);
});

test("waitForAck holds delivery until the first message, which is consumed", async () => {
  const [publisher, subscriber] = await room(1, { waitForAck: true, canReply: true });
  await publisher.run("send", "news", "too early");
  await until("the early message to be dropped", async () => (await metric('ringcast_channel_dropped_total{reason="not_open"}')) >= 1);
  await subscriber.run("send", "news", "ready");
  // What is sent until the server has the acknowledgement is dropped too.
  await until("a message to arrive", async () => {
    await publisher.run("send", "news", "now");
    return (await subscriber.run("got", "news")).length > 0;
  });
  assert.equal((await subscriber.texts("news", 1))[0], "now");
  assert.deepEqual(await publisher.run("got", "news"), []);
  await subscriber.run("send", "news", "a reply");
  assert.deepEqual(await publisher.texts("news", 1), ["a reply"]);
});

test("a channel ends for its subscribers with its publisher, and its name is free again", async () => {
  const [publisher, first, second] = await room(2);
  const repeated = await publisher.item("new", { location: "local", dataChannelName: "news" });
  assert.equal(repeated.errorCode, "repeated_local_track_error");
  assert.equal((await publisher.item("close", { id: publisher.id }, "PUT")).errorCode, undefined);
  assert.equal((await publisher.item("close", { id: publisher.id }, "PUT")).errorCode, "close_track_error");
  for (const subscriber of [first, second]) {
    await until("the subscriber's channel to close", () => subscriber.run("isClosed", "news"));
    const { dataChannels } = await subscriber.run("call", "GET", "");
    assert.equal(dataChannels[0].status, "inactive");
    await subscriber.item("close", { id: subscriber.id }, "PUT");
  }
  await until("the publisher's channel to close", () => publisher.run("isClosed", "news"));
  const again = await publisher.publish("news");
  await publisher.active("news", again);
  const id = await first.subscribe(publisher, "news");
  await first.active("news", id);
  await publisher.run("send", "news", "back");
  assert.deepEqual(await first.texts("news", 1), ["back"]);
});

test("a flood that a reliable subscriber cannot take ends its channel and nothing else", async () => {
  const [publisher, flooded] = await room(1);
  await publisher.run("flood", "news", 400, 65_536);
  await until("the channel to be ended", () => flooded.run("isClosed", "news"), { ms: 30_000 });
  await until("the end to be counted", async () => (await metric('ringcast_channels_ended_total{reason="slow"}')) >= 1);
  await flooded.item("close", { id: flooded.id }, "PUT");
  const id = await flooded.subscribe(publisher, "news");
  await flooded.active("news", id);
  await until("a message to arrive after the flood", async () => {
    await publisher.run("send", "news", "after the flood");
    return (await flooded.run("got", "news")).some((message) => message?.content === "after the flood");
  });
});

test("channels opened in band reach the sessions of one group and no other", async () => {
  const [a, b, c, other] = [await join(), await join(), await join(), await join()];
  for (const [peer, group] of [[a, "room-1"], [b, "room-1"], [c, "room-1"], [other, "room-2"]]) {
    const reply = await rig().server.api("PUT", `ext/sessions/${peer.session}/group`, { body: { group } });
    assert.deepEqual([reply.status, reply.reply], [200, { group }]);
    await peer.run("create", "chat", { ordered: true, maxRetransmits: 3 });
    await peer.ready("chat");
  }
  await c.run("create", "another", {});
  await c.ready("another");
  await a.run("send", "chat", "hello");
  assert.deepEqual(await b.texts("chat", 1), ["hello"]);
  assert.deepEqual(await c.texts("chat", 1), ["hello"]);
  await b.run("send", "chat", "hello yourself");
  assert.deepEqual(await a.texts("chat", 1), ["hello yourself"]);
  assert.deepEqual(await c.texts("chat", 2), ["hello", "hello yourself"]);
  assert.deepEqual([await other.run("got", "chat"), await c.run("got", "another")], [[], []]);
  await rig().server.api("PUT", `ext/sessions/${b.session}/group`, { body: { group: null } });
  await a.run("send", "chat", "without b");
  assert.equal((await c.texts("chat", 3))[2], "without b");
  assert.equal((await b.run("got", "chat")).length, 1);
});
