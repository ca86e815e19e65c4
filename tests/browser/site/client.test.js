// Tokens in the browser, and the package client/: every function of it, as a page uses it.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { SignJWT } from "jose";
import { picture, tone, useRig } from "../lib/rig.js";
import { until } from "../lib/until.js";

const rig = useRig({ before, after, afterEach });

async function mint(scope) {
  const { status, reply } = await rig().server.api("POST", "ext/tokens", { body: scope });
  assert.equal(status, 201, JSON.stringify(reply));
  return reply.token;
}

/** Runs a function in a page of its own with an argument; `ringcast` and `makeSource` are there. */
async function page() {
  const tab = await rig().browser.tab(rig().pages.url);
  return { run: (work, argument) => tab.evaluate(work, argument), close: () => tab.close() };
}

test("partytracks calls the server itself with tokens: no proxy, and only what the scope names", async () => {
  const publishing = await mint({ sub: "alice", publish: ["*"] });
  const watching = await mint({ sub: "bob", subscribe: ["*"] });
  const alice = await rig().peer("alice", { token: publishing });
  const bob = await rig().peer("bob", { token: watching });
  const [camera, microphone] = await Promise.all([alice.push("camera", picture(21)), alice.push("microphone", tone(440))]);
  const [seen, heard] = await Promise.all([bob.pull(camera.metadata), bob.pull(microphone.metadata)]);
  await seen.expectPicture(21);
  await heard.expectTone(440);
  // Bob may neither end what Alice sends nor send himself, and trying changes nothing.
  const { sessionId } = camera.metadata;
  const refused = await rig().server.api("PUT", `sessions/${sessionId}/tracks/close`, { token: watching, body: { tracks: [{ mid: "0" }], force: true } });
  assert.deepEqual([refused.status, refused.reply.errorSubcode], [403, "session"]);
  const own = await bob.sessionId();
  const body = { tracks: [{ location: "local", trackName: "x", kind: "audio" }] };
  const push = await rig().server.api("POST", `sessions/${own}/tracks/new`, { token: watching, body });
  assert.deepEqual([push.status, push.reply.errorSubcode], [403, "publish"]);
  await seen.expectPicture(21);
});

test("a token made by the recipe of the README with a standard library is taken", async () => {
  const { app, secret, api } = rig().server;
  const sign = (key) =>
    new SignJWT({ publish: ["*"], subscribe: ["*"] })
      .setProtectedHeader({ alg: "HS256" })
      .setIssuer(app).setAudience("ringcast").setSubject("user-17")
      .setIssuedAt().setExpirationTime("1h").sign(new TextEncoder().encode(key));
  assert.equal((await api("POST", "sessions/new", { token: await sign(secret) })).status, 201);
  assert.equal((await api("POST", "sessions/new", { token: await sign(`${secret}x`) })).status, 401);
});

test("the package publishes by name, subscribes, replaces, switches, measures and closes", async () => {
  const [alice, bob] = [await page(), await page()];
  const options = async (sub) => ({ apiUrl: rig().server.base, token: await mint({ sub, publish: ["cam*", "mic"], subscribe: ["*"], publishData: ["*"], subscribeData: ["*"] }) });
  const sent = await alice.run(async (options) => {
    const client = (window.client = new ringcast.Ringcast(options));
    window.names = [];
    client.localTracks$.subscribe((tracks) => names.push([...tracks.keys()].join()));
    const media = await client.getCamera({ video: true, audio: true });
    const [first, second, voice] = await Promise.all([makeSource({ kind: "picture", identity: 40 }), makeSource({ kind: "picture", identity: 90 }), makeSource({ kind: "tone", hz: 600 })]);
    const cam = await client.publishTrack(first.track, { trackName: "cam" });
    await client.publishTrack(second.track, { trackName: "cam2" });
    const mic = await client.publishTrack(voice.track, { trackName: "mic" });
    return { cam, mic, kinds: media.getTracks().map(({ kind }) => kind).sort(), names: names.at(-1), state: client.state$.value, id: client.sessionId$.value };
  }, await options("alice"));
  assert.deepEqual(sent.kinds, ["audio", "video"]);
  assert.equal(sent.names, "cam,cam2,mic");
  assert.equal(sent.cam.trackName, "cam");
  assert.equal(sent.cam.sessionId, sent.id);

  await bob.run(async ({ options, sent }) => {
    window.arrived = [];
    const client = (window.client = new ringcast.Ringcast({ ...options, onTrack: (track, { id, trackName }) => arrived.push(`${id} ${trackName} ${track.kind}`) }));
    const [cam, mic] = await Promise.all([client.subscribeToTrack(sent.cam), client.subscribeToTrack(sent.mic)]);
    window.seen = new Playback(cam);
    window.heard = new Playback(mic);
    window.camTrack = cam;
    const context = new AudioContext();
    await context.resume();
    window.meter = new ringcast.LevelMeter(mic, { context });
  }, { options: await options("bob"), sent });
  const sees = (identity) =>
    until(`Bob to see ${identity}`, async () => {
      const now = await bob.run(() => window.seen.picture());
      return { done: now === identity, seen: now };
    });
  await sees(40);
  assert.deepEqual((await bob.run(() => arrived)).sort(), [`${sent.id} cam video`, `${sent.id} mic audio`]);
  await until("the meter to show sound", async () => ({ done: (await bob.run(() => meter.level)) > 0.01 }));

  const before = await bob.run(() => ({ sections: client.peerConnection.getTransceivers().length, sdp: client.peerConnection.remoteDescription.sdp }));
  await bob.run((id) => client.switchTrack({ sessionId: id, trackName: "cam" }, { sessionId: id, trackName: "cam2" }), sent.id);
  await sees(90);
  const later = await bob.run(() => ({ sections: client.peerConnection.getTransceivers().length, sdp: client.peerConnection.remoteDescription.sdp }));
  assert.deepEqual(later, before, "nothing was negotiated");
  assert.deepEqual(await bob.run(() => client.remoteTracks$.value.map(({ trackName }) => trackName).sort()), ["cam2", "mic"]);
  await alice.run(async () => client.replaceTrack("cam2", (await makeSource({ kind: "picture", identity: 150 })).track));
  await sees(150);

  await bob.run((id) => client.unsubscribeFromTrack({ sessionId: id, trackName: "mic" }), sent.id);
  await until("the server to have closed the subscription", async () => {
    const { reply } = await rig().server.api("GET", `sessions/${await bob.run(() => client.sessionId)}`);
    return { done: reply.tracks.some(({ trackName, status }) => trackName === "mic" && status === "inactive"), seen: reply };
  });
  // What one name is refused for harms no other, not even one of the same call.
  const [refused, published] = await alice.run(async () => {
    const [one, other] = await Promise.all([makeSource({ kind: "tone", hz: 300 }), makeSource({ kind: "picture", identity: 7 })]);
    return Promise.all([
      client.publishTrack(one.track, { trackName: "screen" }).then(() => null, ({ status, message }) => ({ status, message })),
      client.publishTrack(other.track, { trackName: "cam3" }),
    ]);
  });
  assert.equal(refused.status, 403);
  assert.match(refused.message, /claim publish/);
  assert.equal(published.sessionId, sent.id);
  assert.deepEqual(await alice.run(() => [client.state$.value, [...client.localTracks$.value.keys()]]), ["connected", ["cam", "cam2", "mic", "cam3"]]);
  await bob.run(async (cam3) => { window.seen = new Playback(await client.subscribeToTrack(cam3)); }, published);
  await sees(7);
  await bob.run(() => { meter.close(); client.close(); });
  assert.equal(await bob.run(() => client.state$.value), "closed");
  await Promise.all([alice.close(), bob.close()]);
});

test("the package opens data channels, for replies too, and one that is refused harms no other", async () => {
  const [alice, bob] = [await page(), await page()];
  const token = (sub, names) => mint({ sub, publishData: names, subscribeData: names });
  const sessionId = await alice.run(async (options) => {
    window.client = new ringcast.Ringcast(options);
    window.got = [];
    window.chat = await client.publishData("chat", { ordered: false, maxRetransmits: 2 });
    chat.onmessage = ({ data }) => got.push(data);
    return client.sessionId;
  }, { apiUrl: rig().server.base, token: await token("alice", ["chat"]) });
  const refused = await bob.run(async ({ options, sessionId }) => {
    window.client = new ringcast.Ringcast(options);
    window.got = [];
    const both = [client.publishData("secret"), client.subscribeToData({ name: "chat", sessionId, ordered: false, maxRetransmits: 2, canReply: true })];
    const [secret, chat] = await Promise.allSettled(both);
    window.chat = chat.value;
    chat.value.onmessage = ({ data }) => got.push(data);
    return { secret: secret.reason.message, ordered: chat.value.ordered, retransmits: chat.value.maxRetransmits };
  }, { options: { apiUrl: rig().server.base, token: await token("bob", ["chat"]) }, sessionId });
  assert.match(refused.secret, /claim publishData/);
  assert.deepEqual([refused.ordered, refused.retransmits], [false, 2]);
  const hears = (who, text) => until(`${text} to arrive`, async () => {
    const seen = await who.run(() => got);
    return { done: seen.includes(text), seen };
  });
  for (const who of [alice, bob]) {
    await until("the channel to be active", async () => {
      const { reply } = await rig().server.api("GET", `sessions/${await who.run(() => client.sessionId)}`);
      return { done: reply.dataChannels.some(({ dataChannelName, status }) => dataChannelName === "chat" && status === "active"), seen: reply };
    });
  }
  for (const [from, to, text] of [[alice, bob, "hello"], [bob, alice, "hello yourself"]]) {
    await from.run((text) => chat.send(text), text);
    await hears(to, text);
  }
  await bob.run(() => client.closeData(chat));
  await until("the subscription to have ended", async () => {
    const { reply } = await rig().server.api("GET", `sessions/${await bob.run(() => client.sessionId)}`);
    return { done: !reply.dataChannels.some(({ dataChannelName, status }) => dataChannelName === "chat" && status === "active"), seen: reply };
  });
  await Promise.all([alice.close(), bob.close()]);
});

test("the package shares a screen, and after its session is lost all goes on in a new one", async () => {
  const [alice, bob] = [await page(), await page()];
  const options = async (sub) => ({ apiUrl: rig().server.base, token: await mint({ sub, publish: ["*"], subscribe: ["*"] }) });
  const screen = await alice.run(async (options) => {
    window.client = new ringcast.Ringcast(options);
    window.ids = [];
    client.sessionId$.subscribe((id) => ids.push(id));
    const [track] = (await client.getScreenshare({ video: true })).getVideoTracks();
    return client.publishTrack(track, { trackName: "screen" });
  }, await options("alice"));
  const watch = (screen) => bob.run(async (screen) => {
    const track = await client.subscribeToTrack(screen);
    window.seen = document.body.appendChild(Object.assign(document.createElement("video"), { autoplay: true, muted: true, srcObject: new MediaStream([track]) }));
  }, screen);
  const shows = () => until("Bob to see the screen", async () => {
    const seen = await bob.run(() => ({ width: window.seen?.videoWidth, frames: window.seen?.getVideoPlaybackQuality().totalVideoFrames }));
    return { done: seen.width >= 640 && seen.frames > 5, seen };
  }, { ms: 25_000 });
  await bob.run((options) => { window.client = new ringcast.Ringcast(options); }, await options("bob"));
  await watch(screen);
  await shows();
  assert.equal((await rig().server.loseSession(screen.sessionId)).status, 200);
  const sessionId = await until("another session", async () => {
    const ids = (await alice.run(() => ids)).filter(Boolean);
    return { done: ids.length === 2, seen: ids, value: ids[1] };
  }, { ms: 30_000 });
  await watch({ sessionId, trackName: "screen" });
  await shows();
  await Promise.all([alice.close(), bob.close()]);
});

test("a token that runs out in a call stops new tracks and nothing else, until there is another", async () => {
  const [alice, bob] = [await page(), await page()];
  const scope = { sub: "alice", publish: ["*"] };
  const cam = await alice.run(async (options) => {
    window.client = new ringcast.Ringcast(options);
    window.publish = async (trackName, identity) => client.publishTrack((await makeSource({ kind: "picture", identity })).track, { trackName });
    return publish("cam", 60);
  }, { apiUrl: rig().server.base, token: await mint({ ...scope, ttl: 3 }) });
  const watch = (cam) => bob.run(async (cam) => { window.seen = new Playback(await client.subscribeToTrack(cam)); }, cam);
  const sees = (identity) => until(`Bob to see ${identity}`, async () => {
    const seen = await bob.run(() => window.seen.picture());
    return { done: seen === identity, seen };
  });
  await bob.run((options) => { window.client = new ringcast.Ringcast(options); }, { apiUrl: rig().server.base, token: await mint({ sub: "bob", subscribe: ["*"] }) });
  await watch(cam);
  await sees(60);
  // Clocks may differ by half a minute, so may the end of a token.
  const refusal = await until("the token to have run out", async () => {
    const seen = await alice.run((turn) => publish(`other${turn}`, 61).then(() => { client.unpublishTrack(`other${turn}`); return null; }, ({ message }) => message), Date.now());
    return { done: seen !== null, seen, value: seen };
  }, { ms: 60_000 });
  assert.match(refusal, /expired/);
  assert.equal(await alice.run(() => client.state$.value), "connected");
  await alice.run(async () => client.replaceTrack("cam", (await makeSource({ kind: "picture", identity: 62 })).track));
  await sees(62);
  await alice.run((token) => { client.token = token; }, await mint(scope));
  await watch(await alice.run(() => publish("cam2", 63)));
  await sees(63);
  await Promise.all([alice.close(), bob.close()]);
});

/** People in one page: each has a client of its own, a picture by which it is known, and a voice that can be turned on. */
async function crowd(room, tokens, stageName) {
  const people = tokens.map((token, index) => ({ token, identity: 30 + 30 * index }));
  return room.run(async ({ people, apiUrl, stageName }) => {
    window.voices = [];
    window.crowd = [];
    for (const { token, identity } of people) {
      const client = new ringcast.Ringcast({ apiUrl, token });
      const voice = new Voice({ hz: 300 + identity });
      voices.push(voice);
      const { track } = await makeSource({ kind: "picture", identity });
      await Promise.all([client.publishTrack(track, { trackName: "cam" }), client.publishTrack(voice.track, { trackName: "mic" })]);
      // One of them looks at the stage itself; a browser has six connections to a server, and each look takes one for events.
      const stage = crowd.length === 0 ? new ringcast.Stage(client, { name: stageName, size: 2, hear: false }) : null;
      if (stage) await stage.join({ audio: "mic", video: "cam" });
      else await client.call("PUT", `ext/stages/${stageName}/members/${client.sessionId}`, { audio: "mic", video: "cam" });
      crowd.push({ client, stage });
    }
    return crowd.map(({ client }) => client.sessionId);
  }, { people, apiUrl: rig().server.base, stageName });
}

test("a stage of two among five: who speaks is seen on tracks that stay, and nothing is negotiated", async () => {
  const room = await page();
  const scope = { rooms: ["hall"], subscribe: ["*"] };
  const tokens = [];
  for (let index = 0; index < 5; index += 1) tokens.push(await mint({ ...scope, sub: `p${index}`, publish: ["*"] }));
  const ids = await crowd(room, tokens, "hall");
  const viewer = await mint({ ...scope, sub: "viewer" });
  await room.run(async ({ apiUrl, token }) => {
    window.watcher = new ringcast.Ringcast({ apiUrl, token });
    window.stage = new ringcast.Stage(watcher, { name: "hall", size: 2 });
    window.told = { seats: 0, speaker: 0 };
    watcher.listen("ext/stages/hall/events", (type) => (told[type] = (told[type] ?? 0) + 1));
    await stage.ready;
    // A tile for each seat, made once.
    window.tiles = stage.seats$.value.map(({ track }) => new Playback(track));
    window.negotiations = 0;
  }, { apiUrl: rig().server.base, token: viewer });
  const seats = () => room.run(() => stage.seats$.value.map(({ sessionId }) => sessionId));
  const speak = (speaker) => room.run((speaker) => voices.forEach((voice, index) => (voice.speaks = index === speaker)), speaker);
  await until("two to be seated", async () => ({ done: (await room.run(() => stage.seats$.value.length)) === 2 }));
  await until("sound of all to arrive", async () => {
    const receivers = await room.run((ids) => ids.filter((sessionId) => watcher.receiverOf({ sessionId, trackName: "mic" })).length, ids);
    return { done: receivers === 5, seen: receivers };
  });
  await room.run(() => {
    if (tiles.length < 2) window.tiles = stage.seats$.value.map(({ track }) => new Playback(track));
    watcher.peerConnection.addEventListener("signalingstatechange", () => (negotiations += 1));
    window.watches = tiles.map(({ track }) => new FrameWatch(track));
  });
  const shows = (seat, identity) => until(`tile ${seat + 1} to show ${identity}`, async () => {
    const seen = await room.run(() => ({ pictures: tiles.map((tile) => tile.picture()), told, speaker: stage.speaker$.value, seats: stage.seats$.value.map(({ sessionId }) => sessionId), levels: crowd.map(({ client }) => stage.levelOf(client.sessionId)) }));
    return { done: seen.pictures[seat] === identity, seen };
  }, { ms: 20_000 });
  const sections = () => room.run(() => watcher.peerConnection.remoteDescription.sdp);
  const sdp = await sections();
  await shows(0, 30);
  await shows(1, 60);
  // Who speaks, and where: the one who has spoken least lately gives way, and nobody else moves.
  const told = () => room.run(() => told.seats);
  for (const [speaker, expected] of [[1, [0, 1]], [3, [3, 1]], [4, [3, 4]], [0, [0, 4]]]) {
    const before = await told();
    await speak(speaker);
    await until(`person ${speaker} to be the speaker`, async () => ({ done: (await room.run(() => stage.speaker$.value)) === ids[speaker] }), { ms: 20_000 });
    for (const seat of [0, 1]) await shows(seat, 30 + 30 * expected[seat]);
    assert.deepEqual(await seats(), expected.map((index) => ids[index]));
    assert.ok((await told()) - before <= 1, "seats change hands once for each speaker");
  }
  assert.equal(await sections(), sdp, "nothing was negotiated");
  assert.equal(await room.run(() => negotiations), 0);
  const gaps = await room.run(() => watches.map(({ frames, longest }) => ({ frames, longest })));
  assert.ok(gaps.every(({ frames, longest }) => frames > 50 && longest < 1_000), `the former picture goes on until the next begins: ${JSON.stringify(gaps)}`);
  const videos = await room.run(() => watcher.remoteTracks$.value.filter(({ track }) => track.kind === "video").length);
  assert.equal(videos, 2, "pictures of two are received, and no more");
  // Nobody sees itself: in its own seat the first one sees who would be next.
  const own = await room.run(() => crowd[0].stage.seats$.value.map(({ sessionId }) => sessionId));
  assert.ok(own.length === 2 && !own.includes(ids[0]) && own.includes(ids[4]), JSON.stringify(own));
  // Silence changes nothing, and somebody who goes makes room for another.
  await speak(-1);
  await room.run(() => crowd[4].client.call("DELETE", `ext/stages/hall/members/${crowd[4].client.sessionId}`));
  await until("another to be seated", async () => {
    const now = await seats();
    return { done: now.length === 2 && now[0] === ids[0] && now[1] !== ids[4], seen: now };
  });
  await room.run(() => { stage.close(); crowd.forEach(({ stage, client }) => { stage?.close(); client.close(); }); });
  await room.close();
});
