// Sessions by which the server calls another server: a full ICE agent towards one that waits. The other server is a second
// one of ours, which is ICE-lite, always the DTLS server, and has one port for all its sessions.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { picture, tone, useRig } from "../lib/rig.js";
import { startServer } from "../lib/server.js";
import { until } from "../lib/until.js";

const rig = useRig({ before, after, afterEach }, { server: { shards: 2 } });
let far;
before(async () => (far = await startServer({ extra: ["--single-port"] })), { timeout: 60_000 });
after(() => far?.stop());

async function good(server, method, target, body) {
  const { status, reply } = await server.api(method, target, { body });
  assert.ok(status < 300 && !reply.errorCode && !reply.tracks?.some((track) => track.errorCode), JSON.stringify(reply));
  return reply;
}

const statistics = async (server, session) => (await good(server, "GET", `ext/sessions/${session}/stats`)).statistics;

const connected = (server, session) =>
  until("the servers to be connected", async () => {
    const seen = await statistics(server, session);
    return { done: seen.connected, seen, value: seen };
  });

const remote = ({ sessionId, trackName }) => ({ location: "remote", sessionId, trackName });

/** Tracks of this server go to the other one: we offer, as to a client that pulls, and it takes that for a publication. */
async function sendAcross(tracks) {
  const { server } = rig();
  const { sessionId: calling } = await good(server, "POST", "sessions/new?thirdparty=true");
  const pulled = await good(server, "POST", `sessions/${calling}/tracks/new`, { tracks: tracks.map(remote) });
  const { sessionId: called } = await good(far, "POST", "sessions/new");
  const published = await good(far, "POST", `sessions/${called}/tracks/new`, {
    sessionDescription: pulled.sessionDescription,
    tracks: pulled.tracks.map(({ mid, trackName }) => ({ location: "local", mid, trackName })),
  });
  await good(server, "PUT", `sessions/${calling}/renegotiate`, { sessionDescription: published.sessionDescription });
  return { calling, called, offer: pulled.sessionDescription.sdp, answer: published.sessionDescription.sdp };
}

test("tracks go to another server by its push, and those there see and hear them", async () => {
  const alice = await rig().peer("alice");
  const tracks = [await alice.push("camera", picture(21)), await alice.push("microphone", tone(750))].map(({ metadata }) => metadata);
  const across = await sendAcross(tracks);
  assert.doesNotMatch(across.offer, /a=ice-lite/);
  assert.match(across.offer, /a=candidate:.* typ host/);
  assert.match(across.answer, /a=ice-lite/);
  const { remoteAddress, localAddress, transports } = await connected(rig().server, across.calling);
  assert.equal(transports, 1);
  assert.match(remoteAddress, new RegExp(`:${far.udpPort}$`));
  assert.equal((await statistics(far, across.called)).remoteAddress, localAddress);

  const bob = await rig().peer("bob", { server: far });
  const [seen, heard] = [await bob.pull({ ...tracks[0], sessionId: across.called }), await bob.pull({ ...tracks[1], sessionId: across.called })];
  await seen.expectPicture(21, { frames: 20 });
  await heard.expectTone(750);
  await bob.expectNothingElse(2);

  // A second call from the same server to the same port: nobody takes the one for the other.
  const carol = await rig().peer("carol");
  const other = (await carol.push("camera", picture(22))).metadata;
  const again = await sendAcross([other]);
  await connected(rig().server, again.calling);
  const second = await bob.pull({ ...other, sessionId: again.called });
  await second.expectPicture(22);
  await seen.expectPicture(21);

  // The end of one ends its media there, and not the other's.
  await good(rig().server, "DELETE", `ext/sessions/${again.calling}`).catch(() => {});
  await second.expectSilence(seen, 21);
});

test("tracks of another server come by its offer, and those here see and hear them", async () => {
  const { server } = rig();
  const alice = await rig().peer("alice", { server: far });
  const tracks = [await alice.push("camera", picture(31)), await alice.push("microphone", tone(850))].map(({ metadata }) => metadata);
  const { sessionId: called } = await good(far, "POST", "sessions/new");
  const pulled = await good(far, "POST", `sessions/${called}/tracks/new`, { tracks: tracks.map(remote) });
  const { sessionId: calling } = await good(server, "POST", "sessions/new?thirdparty=true");
  const published = await good(server, "POST", `sessions/${calling}/tracks/new`, {
    sessionDescription: pulled.sessionDescription,
    tracks: pulled.tracks.map(({ mid, trackName }) => ({ location: "local", mid, trackName })),
  });
  // Both sides would wait for the other's handshake otherwise.
  assert.match(published.sessionDescription.sdp, /a=setup:active/);
  assert.doesNotMatch(published.sessionDescription.sdp, /a=ice-lite/);
  await good(far, "PUT", `sessions/${called}/renegotiate`, { sessionDescription: published.sessionDescription });
  await connected(server, calling);
  const bob = await rig().peer("bob");
  const [seen, heard] = [await bob.pull({ ...tracks[0], sessionId: calling }), await bob.pull({ ...tracks[1], sessionId: calling })];
  await seen.expectPicture(31, { frames: 20 });
  await heard.expectTone(850);
  await good(server, "DELETE", `ext/sessions/${calling}`).catch(() => {});
});

test("a session made with the offer of another server answers it at once", async () => {
  const { server } = rig();
  const alice = await rig().peer("alice", { server: far });
  const camera = (await alice.push("camera", picture(33))).metadata;
  const { sessionId: called } = await good(far, "POST", "sessions/new");
  const pulled = await good(far, "POST", `sessions/${called}/tracks/new`, { tracks: [remote(camera)] });
  const made = await good(server, "POST", "sessions/new?thirdparty=true", { sessionDescription: pulled.sessionDescription });
  await good(far, "PUT", `sessions/${called}/renegotiate`, { sessionDescription: made.sessionDescription });
  await connected(server, made.sessionId);
});
