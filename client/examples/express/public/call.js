// A call of everybody who has this page open. Calls of the API go through this site, which adds the secret.

import { RingcastClient } from "./ringcast-client.js";

const BEAT_MS = 2_000;
const $ = (selector) => document.querySelector(selector);
const say = (text) => ($("#status").textContent = text);
const me = crypto.randomUUID?.() ?? String(Math.random()).slice(2);
const shown = new Map(); // person's id -> { figure, stream, sessionId }

function show(name, stream, { muted = false } = {}) {
  const figure = document.createElement("figure");
  const video = Object.assign(document.createElement("video"), { autoplay: true, playsInline: true, muted });
  video.srcObject = stream;
  const caption = document.createElement("figcaption");
  caption.textContent = name;
  figure.append(video, caption);
  $("#call").append(figure);
  return figure;
}

/** Subscribes to those who have come, and takes down those who have gone. */
function follow(client, people) {
  const isSame = (id, entry) => people.some((person) => person.id === id && person.sessionId === entry.sessionId);
  for (const [id, entry] of [...shown]) {
    if (isSame(id, entry)) continue;
    for (const trackName of entry.tracks) client.unsubscribe(entry.sessionId, trackName);
    entry.figure.remove();
    shown.delete(id);
  }
  for (const { id, name, sessionId, tracks } of people) {
    if (!sessionId || shown.has(id)) continue;
    const stream = new MediaStream();
    shown.set(id, { sessionId, tracks, stream, figure: show(name, stream) });
    for (const trackName of tracks) client.subscribe(sessionId, trackName);
  }
  say(people.length ? `${people.length + 1} people are here.` : "Nobody else is here yet: open this page in another tab.");
}

async function join(name) {
  if (!navigator.mediaDevices) throw new Error("Browsers give the camera to pages from https or from localhost only.");
  const camera = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
  show(`${name} (you)`, camera, { muted: true });
  const client = new RingcastClient({ base: new URL("partytracks", location.href).href, key: "kept by the site" });
  client.addEventListener("track", ({ detail: { sessionId, track } }) => {
    for (const entry of shown.values()) if (entry.sessionId === sessionId) entry.stream.addTrack(track);
  });
  client.addEventListener("problem", ({ detail }) => say(detail.message));
  for (const track of camera.getTracks()) client.publish(track.kind, track);

  const beat = async () => {
    const body = JSON.stringify({ name, sessionId: client.sessionId, tracks: client.publishedNames });
    const reply = await fetch(`people/${me}`, { method: "PUT", headers: { "Content-Type": "application/json" }, body });
    if (!reply.ok) throw new Error((await reply.json()).error);
    const people = await reply.json();
    // Whoever does not send yet is shown when he does.
    follow(client, people.filter(({ tracks }) => tracks?.length));
  };
  const beats = setInterval(() => beat().catch(({ message }) => say(message)), BEAT_MS);
  await beat();
  addEventListener("pagehide", () => {
    clearInterval(beats);
    fetch(`people/${me}`, { method: "DELETE", keepalive: true });
    client.close();
  });
}

$("#lobby").addEventListener("submit", (event) => {
  event.preventDefault();
  $("#lobby").hidden = true;
  join($("#name").value).catch(({ message }) => {
    $("#lobby").hidden = false;
    say(message);
  });
});
