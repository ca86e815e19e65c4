// The page: what is on screen before and during a call. The address says where to go:
//
//   /?app=APPID&room=ROOM#key=KEY
//
// The key, a token or the secret of the app, stands behind the "#" because browsers never send that part to any server.
// A secret does not stay there: the page puts a token for this one room in its place, so that what is copied from the
// address bar opens no more than that, and not for ever.

import { Call } from "./demo-call.js";
import { claimsOf, inviteTo, judge, moment, wordsFor } from "./demo-key.js";
import { LevelMeter, wakeAudio } from "./demo-stats.js";
import { LocalMedia, fillDeviceList } from "./demo-media.js";

const $ = (selector) => document.querySelector(selector);
const query = new URLSearchParams(location.search);
// Names of rooms are made of these characters only; whoever writes others in the address means the same room.
const room = (query.get("room") ?? "").replace(/[^A-Za-z0-9_-]+/g, "-").slice(0, 64) || "lobby";
// With `seats`, 25 at most, only the pictures of so many are shown: of those who spoke last.
const seats = Math.min(25, Math.max(0, Math.trunc(Number(query.get("seats"))) || 0));
const address = { app: query.get("app") ?? "", key: new URLSearchParams(location.hash.slice(1)).get("key") ?? "" };
const sourceOfKind = { videoinput: "camera", audioinput: "microphone" };

const media = new LocalMedia();
let call = null;
let secret = ""; // of the app, if this page was opened with it
let exchange = null; // the making of a token from it, while that is under way
let publishes = () => true;
let previewMeter = null;
let speakerId = "";

// ---- notices ------------------------------------------------------------------------------------------------

function notify(id, message) {
  let notice = document.getElementById(`notice-${id}`);
  if (!notice) {
    notice = document.createElement("div");
    notice.id = `notice-${id}`;
    notice.className = "notice";
    const close = document.createElement("button");
    close.type = "button";
    close.textContent = "Dismiss";
    close.addEventListener("click", () => notice.remove());
    notice.append(document.createElement("span"), close);
    $("#notices").append(notice);
  }
  const text = notice.querySelector("span");
  if (text.textContent !== message) text.textContent = message;
}

const dismiss = (id) => document.getElementById(`notice-${id}`)?.remove();

// ---- before the call ----------------------------------------------------------------------------------------

function showLobby() {
  $("#lobby").hidden = false;
  $("#call").hidden = $("#controls").hidden = true;
  $("#connection").textContent = "";
  $("#join").disabled = false;
  drawPreview();
}

function drawPreview() {
  if (call) return;
  const { camera, microphone } = media;
  const preview = $("#preview");
  if (preview.srcObject?.getTracks()[0] !== (camera ?? undefined)) {
    preview.srcObject = camera ? new MediaStream([camera]) : null;
  }
  $("#preview-text").hidden = Boolean(camera);
  $("#preview-text").textContent = "No camera picture.";
  previewMeter?.close();
  previewMeter = microphone ? new LevelMeter(microphone) : null;
}

setInterval(() => {
  if (!call) $("#preview-level").style.width = `${Math.round(100 * (previewMeter?.read() ?? 0))}%`;
}, 80);

async function drawDevices() {
  const current = {
    videoinput: media.camera?.getSettings().deviceId,
    audioinput: media.microphone?.getSettings().deviceId,
    audiooutput: speakerId,
  };
  await Promise.all(
    [...document.querySelectorAll("select[data-kind]")].map((select) => fillDeviceList(select, current[select.dataset.kind])),
  );
}

for (const select of document.querySelectorAll("select[data-kind]")) {
  select.addEventListener("change", () => {
    const { kind } = select.dataset;
    if (kind === "audiooutput") {
      speakerId = select.value;
      call?.setSpeaker(speakerId);
    } else {
      media.choose(sourceOfKind[kind], select.value);
    }
  });
}

$("#join-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  address.app ||= $("#app").value.trim();
  address.key ||= $("#key").value.trim();
  const name = $("#name").value.trim();
  localStorage.setItem("ringcast-name", name);
  wakeAudio();
  $("#join").disabled = true;
  const trouble = await takeKey();
  const { refusal, notice, publishes: mayPublish } = judge(address.key, { app: address.app, room });
  if (trouble ?? refusal) return turnAway(trouble ?? refusal);
  publishes = mayPublish;
  if (notice) notify("rights", notice);
  startCall(name);
});

// A token may be pasted alone: it says itself for which app it is.
$("#key").addEventListener("input", () => {
  $("#app").value ||= claimsOf($("#key").value.trim())?.iss ?? "";
});

const apiBase = () => new URL(`v1/apps/${encodeURIComponent(address.app)}`, document.baseURI).href;

/** Puts the key into the address, and a token in the place of a secret. Resolves with what stands against the key. */
async function takeKey() {
  if (!claimsOf(address.key)) {
    secret = address.key;
    exchange ??= inviteTo(room, { base: apiBase(), secret }).finally(() => (exchange = null));
    try {
      address.key = await exchange;
    } catch (error) {
      // Without a long secret the server makes no tokens: then the page goes on with what it has.
      if ([401, 403, 404].includes(error.status)) return wordsFor(error);
    }
  }
  history.replaceState(null, "", linkWith(address.key === secret ? null : address.key));
  return null;
}

function linkWith(key) {
  const link = new URL(location.href);
  link.searchParams.set("app", address.app);
  link.searchParams.set("room", room);
  link.hash = key ? new URLSearchParams({ key }) : "";
  return link;
}

function turnAway(message) {
  notify("ended", message);
  askForAddress();
  $("#join").disabled = false;
}

// ---- inviting others -----------------------------------------------------------------------------------------

function openShare() {
  if (!address.key) return notify("share", "Join the room first: then there is a link to share.");
  dismiss("share");
  $("#share-life").selectedIndex = 0;
  drawShare(address.key);
  $("#share").showModal();
  $("#share-link").select();
}

function drawShare(key) {
  const { until } = judge(key, { app: address.app, room });
  const isSecret = key === secret;
  $("#share-link").value = isSecret ? "" : linkWith(key).href;
  $("#share-link-line").hidden = $("#copy-link").hidden = isSecret;
  $("#share-life-choice").hidden = isSecret || !secret;
  $("#share-until").textContent = isSecret
    ? "There is no link to share: the server signs no tokens with the secret of this app. Give the app one of 32 characters or more (ringcast generate-secret)."
    : `Whoever has this link can join the room “${room}”${until ? ` until ${moment(until)}` : ""}, and do nothing else.`;
}

for (const button of ["#open-share", "#invite"]) $(button).addEventListener("click", openShare);
$("#share-life").addEventListener("change", async () => {
  try {
    drawShare(await inviteTo(room, { base: apiBase(), secret, lives: [Number($("#share-life").value)] }));
  } catch (error) {
    $("#share-until").textContent = `The server makes no such link: ${error.message}.`;
  }
});
$("#copy-link").addEventListener("click", async () => {
  const link = $("#share-link");
  link.select();
  try {
    await navigator.clipboard.writeText(link.value);
    $("#copy-link").textContent = "Copied";
    setTimeout(() => ($("#copy-link").textContent = "Copy link"), 2_000);
  } catch {
    $("#share-until").textContent = "The browser does not let this page copy: the link is selected, copy it by hand.";
  }
});

// ---- the call -----------------------------------------------------------------------------------------------

const STATE_WORDS = { connecting: "Connecting …", connected: "Connected", reconnecting: "Reconnecting …" };

function startCall(name) {
  ["ended", "connection"].forEach(dismiss);
  call = new Call({ base: apiBase(), key: address.key, room, name, media, tiles: $("#tiles"), audience: $("#audience"), seats, publishes });
  call.addEventListener("state", ({ detail }) => ($("#connection").textContent = STATE_WORDS[detail.state] ?? ""));
  call.addEventListener("problem", ({ detail }) => notify("connection", detail.message));
  call.addEventListener("recovered", () => dismiss("connection"));
  call.addEventListener("people", ({ detail }) => ($("#alone").hidden = detail.count > 0));
  $("#alone").hidden = true;
  call.addEventListener("ended", ({ detail }) => {
    leaveCall();
    turnAway(detail.message);
  });
  previewMeter?.close();
  previewMeter = null;
  $("#preview").srcObject = null;
  $("#lobby").hidden = true;
  $("#call").hidden = $("#controls").hidden = false;
  $("#audience").hidden = seats === 0;
  call.start();
  call.setSpeaker(speakerId);
  drawControls();
  $("#toggle-microphone").focus();
}

function leaveCall() {
  call?.leave();
  call = null;
  if (media.screen) media.stopScreen();
  dismiss("connection");
  showLobby();
}

function drawControls() {
  for (const [source, on, off] of [["microphone", "Mute", "Unmute"], ["camera", "Camera off", "Camera on"]]) {
    const button = $(`#toggle-${source}`);
    label(button, media.isOn(source) ? on : off, !media.isOn(source));
    button.disabled = !media[source] || !publishes(source);
  }
  label($("#toggle-screen"), media.screen ? "Stop sharing" : "Share screen", Boolean(media.screen));
  $("#toggle-screen").hidden = !navigator.mediaDevices?.getDisplayMedia || !publishes("screen");
}

function label(button, text, isPressed) {
  button.title = button.querySelector("span").textContent = text;
  button.setAttribute("aria-pressed", String(isPressed));
}

for (const source of ["microphone", "camera"]) {
  $(`#toggle-${source}`).addEventListener("click", () => media.setOn(source, !media.isOn(source)));
}
$("#toggle-screen").addEventListener("click", () => (media.screen ? media.stopScreen() : media.shareScreen()));
$("#open-devices").addEventListener("click", () => drawDevices().then(() => $("#devices").showModal()));
$("#leave").addEventListener("click", () => {
  leaveCall();
  $("#join").focus();
});
media.addEventListener("change", () => {
  drawPreview();
  drawControls();
  drawDevices();
});
media.addEventListener("problem", ({ detail }) => notify(detail.source, detail.message));
navigator.mediaDevices?.addEventListener("devicechange", drawDevices);
window.addEventListener("pagehide", () => call?.leave());

// ---- start --------------------------------------------------------------------------------------------------

function askForAddress() {
  for (const element of document.querySelectorAll(".needs-app")) {
    element.hidden = false;
    element.querySelector("input").required = true;
  }
  $("#app").value = address.app;
  $("#key").value = "";
  address.app = address.key = secret = "";
}

document.title = `${room} · Ringcast`;
$("#room-name").textContent = room;
$("#join-title").textContent = `Join “${room}”`;
$("#name").value = localStorage.getItem("ringcast-name") ?? "";
$("#speaker-choice").hidden = !("setSinkId" in HTMLMediaElement.prototype);
address.app ||= claimsOf(address.key)?.iss ?? "";
if (!address.app || !address.key) askForAddress();
else {
  const { refusal, until } = judge(address.key, { app: address.app, room });
  if (refusal) turnAway(refusal);
  else if (until) $("#lobby-hint").textContent = `Your link works until ${moment(until)}.`;
  else takeKey();
}
showLobby();
await media.start();
drawPreview();
drawDevices();
