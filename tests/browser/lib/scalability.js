// One encoding in several spatial and temporal layers (`scalabilityMode`): sent to a second connection of the same page,
// which shows what the browser itself makes of it, and through the server.

import { picture } from "./rig.js";
import { until } from "./until.js";

/** Every mode of the specification (W3C webrtc-svc). */
export const MODES = [
  ...["L", "S"].flatMap((letter) => [1, 2, 3].flatMap((spatial) => [1, 2, 3].map((temporal) => `${letter}${spatial}T${temporal}`))),
  ...["L", "S"].flatMap((letter) => [2, 3].flatMap((spatial) => [1, 2, 3].map((temporal) => `${letter}${spatial}T${temporal}h`))),
  ...[2, 3].flatMap((spatial) => [1, 2, 3].flatMap((temporal) => ["_KEY", "_KEY_SHIFT"].map((end) => `L${spatial}T${temporal}${end}`))),
].filter((mode) => !/^S1/.test(mode));

/** The modes that this browser sends in `codec`. */
export const offered = (page, codec) => page.evaluate(([codec, modes]) => window.kit.scalabilityModes(codec, modes), [codec, MODES]);

const source = (identity, codec, mode) =>
  picture(identity, { width: 960, height: 540, fps: 15, codec, alone: true, encodings: [{ scalabilityMode: mode, maxBitrate: 1_500_000 }] });

/**
 * Whether what came through the server is as what the browser makes of it by itself: the right picture, as many frames, and
 * as wide as it was sent. Of AV1 a viewer by WHEP, who has no dependency descriptors, may get a lower layer; between two
 * browsers it would see nothing. Only one codec is negotiated, since Chromium else takes another one for some modes.
 */
const isAsDirect = (codec, way, frames, direct) => (it) =>
  it.codec === `video/${codec}` &&
  it.picture === it.wanted &&
  it.frames >= Math.min(frames, 0.8 * direct.frames) &&
  (it.width === it.sent || (way === "whep" && codec === "AV1"));

/**
 * Sends a picture in `mode` in three ways at once: to a connection of the same page, to one who pulls and to one who plays
 * by WHEP. Resolves with what each of them has decoded once all have seen `frames` frames, or as many as the browser by
 * itself, or with what was seen after `ms`.
 */
export async function compare(rig, codec, mode, { frames = 30, ms = 30_000 } = {}) {
  const stream = `${codec}-${mode}`;
  const direct = await rig.plain();
  await direct.call("direct", source(50, codec, mode));
  const alice = await rig.peer("alice", { raw: true, apart: true });
  const camera = await alice.push("camera", source(51, codec, mode));
  const bob = await rig.peer("bob", { raw: true });
  const pulled = await bob.pull(camera.metadata);
  const publisher = await rig.whip(stream, [source(52, codec, mode)]);
  const player = await rig.whep(stream);
  const ways = {
    direct: { call: () => direct.call("sample", "video"), identity: 50, sent: () => direct.call("sending", "video") },
    pull: { call: () => pulled.sample(), identity: 51, sent: () => alice.call("sending", "camera") },
    whep: { call: () => player.video.sample(), identity: 52, sent: () => publisher.peer.call("sending", "video") },
  };
  const seen = {};
  const probe = async () => {
    for (const [way, { call, identity, sent }] of Object.entries(ways)) {
      const { width, mode, frames: encoded } = (await sent())[""] ?? {};
      seen[way] = { ...(await call()), wanted: identity, sent: width, mode, encoded };
    }
    const isGood = ([way, it]) => isAsDirect(codec, way, frames, seen.direct)(it);
    return { done: seen.direct.frames >= 10 && Object.entries(seen).every(isGood), seen };
  };
  try {
    await until(`${codec} in ${mode} to be seen by every way`, probe, { ms });
    return { good: true, seen };
  } catch (error) {
    // The encoder of Chromium 156 stops after some frames of AV1 in S3T1 to S3T3h, whoever receives them; who comes late then
    // gets none.
    const isEnded = (it) => it.encoded < 20 || (it.frames > 0 && it.picture === it.wanted);
    const stops = seen.direct.frames < 10 && Object.values(seen).every(isEnded);
    return { good: stops, seen, error };
  } finally {
    for (const peer of [direct, alice, bob, publisher.peer, player.peer]) await peer.close().catch(() => {});
  }
}
