// What a key allows. A key is a token, which says of itself what it is good for, or the secret of an application, which
// is good for everything and is kept out of every link: the page has the server make a token for this one room instead.

import { callApi } from "./ringcast-client.js";

/** The tracks of the demo: all that its links allow. */
const TRACKS = ["camera", "microphone", "screen", "screen-audio"];
/** The tracks that show whoever speaks. */
const SEATS = "speaker-*";
/** How long a link works unless somebody chooses: the first of these that the server allows, in seconds. */
const LIVES = [86_400, 3_600, 60];
/** Seconds by which the clocks of two machines may differ. */
const LEEWAY = 30;

const covers = (names, name) => (names ?? []).some((known) => (known.endsWith("*") ? name.startsWith(known.slice(0, -1)) : known === name));
const quote = (names) => names.map((name) => `“${name}”`).join(", ");

/** A moment as people write it, by its seconds since 1970. */
export const moment = (seconds) => new Date(seconds * 1_000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });

/** The claims of a token; null for anything else. They are shown and acted upon here, and proven by the server alone. */
export function claimsOf(key) {
  const parts = key.split(".");
  if (parts.length !== 3) return null;
  try {
    const bytes = Uint8Array.from(atob(parts[1].replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    return claims && typeof claims === "object" ? claims : null;
  } catch {
    return null;
  }
}

/** What can be done with a key in a room: whether it publishes a track, and, where it does not do, why, in plain words. */
export function judge(key, { app, room, now = Date.now() / 1_000 }) {
  const claims = claimsOf(key);
  if (!claims) return { publishes: () => true, until: null, refusal: null, notice: null };
  const publishes = (name) => covers(claims.publish, name);
  return { publishes, until: claims.exp ?? null, refusal: refusalOf(claims, { app, room, now }), notice: noticeOf(claims, publishes) };
}

function refusalOf(claims, { app, room, now }) {
  const begin = Math.max(claims.nbf ?? 0, claims.iat ?? 0);
  if (claims.exp + LEEWAY <= now) return `This link ran out on ${moment(claims.exp)}. Ask for a new one.`;
  if (begin > now + LEEWAY) return `This link works only from ${moment(begin)} on. If that is past, compare the clocks of both computers.`;
  if (claims.iss !== app) return `This key is for the app “${claims.iss}”, and the link names the app “${app}”. Ask for a new link.`;
  if (claims.session) return "This key is for one session of a program. A room takes one without the claim “session”.";
  if (!covers(claims.rooms, room)) {
    return claims.rooms?.length > 0
      ? `This key does not open the room “${room}”, but ${quote(claims.rooms)}. Ask for a link to this room.`
      : `This key opens no room. Ask for a link, or make a key with “ringcast mint-token --room ${room}”.`;
  }
  return null;
}

function noticeOf(claims, publishes) {
  const denied = ["camera", "microphone", "screen"].filter((name) => !publishes(name));
  const hears = ["camera", "microphone"].every((name) => covers(claims.subscribe, name));
  if (denied.length === 3 && !hears) return "This key lets you see who is here, but neither send nor receive: it names no tracks under “publish” and “subscribe”.";
  if (denied.length === 3) return "This link lets you watch and listen only.";
  if (!hears) return "This key lets you send, but not see and hear everything of the others: “subscribe” has to name camera and microphone.";
  if (denied.length > 0) return `This link does not let you send: ${denied.join(", ")}.`;
  return null;
}

/** Has the server make a token for a room. It takes the secret of the application. */
export async function inviteTo(room, { base, secret, lives = LIVES }) {
  const body = { rooms: [room], publish: TRACKS, subscribe: [...TRACKS, SEATS] };
  for (const [index, ttl] of lives.entries()) {
    try {
      return (await callApi(`${base}/ext/tokens`, { method: "POST", key: secret, body: { ...body, ttl } })).token;
    } catch (error) {
      // A life that is too long for this server, perhaps.
      if (error.status !== 406 || index === lives.length - 1) throw error;
    }
  }
}

/** Why the server refuses a key, in plain words. */
export function wordsFor({ status, subcode, message }) {
  if (status === 404) return "The server does not know this app. Check the link.";
  const words = {
    expired: "This link has run out. Ask for a new one.",
    not_yet_valid: "This link does not work yet. If it should, compare the clocks of both computers.",
    wrong_app: "This key is for another app than the link names. Ask for a new link.",
    rooms: "This key does not open this room. Ask for a link to this room.",
    lifetime: "This key lives longer than the server allows. Ask for a new one.",
  };
  if (words[subcode]) return words[subcode];
  if (status === 401) return "The key in this link is not accepted. Ask for a new link.";
  return `The key in this link is not accepted: ${message}.`;
}
