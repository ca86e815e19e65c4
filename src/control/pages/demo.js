// The page: what is on screen before and during a call. The address says where to go:
//
//   /?app=APPID&room=ROOM#key=SECRET
//
// The key stands behind the "#" because browsers never send that part to any server.

import { Call } from "./demo-call.js";
import { LevelMeter, wakeAudio } from "./demo-stats.js";
import { LocalMedia, fillDeviceList } from "./demo-media.js";

const $ = (selector) => document.querySelector(selector);
const query = new URLSearchParams(location.search);
// Names of rooms are made of these characters only; whoever writes others in the address means the same room.
const room = (query.get("room") ?? "").replace(/[^A-Za-z0-9_-]+/g, "-").slice(0, 64) || "lobby";
const address = { app: query.get("app") ?? "", key: new URLSearchParams(location.hash.slice(1)).get("key") ?? "" };
const sourceOfKind = { videoinput: "camera", audioinput: "microphone" };

const media = new LocalMedia();
let call = null;
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

$("#join-form").addEventListener("submit", (event) => {
  event.preventDefault();
  address.app ||= $("#app").value.trim();
  address.key ||= $("#key").value.trim();
  const link = new URL(location.href);
  link.searchParams.set("app", address.app);
  link.searchParams.set("room", room);
  link.hash = new URLSearchParams({ key: address.key });
  history.replaceState(null, "", link);
  const name = $("#name").value.trim();
  localStorage.setItem("ringcast-name", name);
  wakeAudio();
  startCall(name);
});

// ---- the call -----------------------------------------------------------------------------------------------

const STATE_WORDS = { connecting: "Connecting …", connected: "Connected", reconnecting: "Reconnecting …" };

function startCall(name) {
  ["ended", "connection"].forEach(dismiss);
  const base = new URL(`v1/apps/${encodeURIComponent(address.app)}`, document.baseURI).href;
  call = new Call({ base, key: address.key, room, name, media, tiles: $("#tiles") });
  call.addEventListener("state", ({ detail }) => ($("#connection").textContent = STATE_WORDS[detail.state] ?? ""));
  call.addEventListener("problem", ({ detail }) => notify("connection", detail.message));
  call.addEventListener("recovered", () => dismiss("connection"));
  call.addEventListener("people", ({ detail }) => ($("#alone").hidden = detail.count > 0));
  call.addEventListener("ended", ({ detail }) => {
    leaveCall();
    notify("ended", detail.message);
    askForAddress();
  });
  previewMeter?.close();
  previewMeter = null;
  $("#preview").srcObject = null;
  $("#lobby").hidden = true;
  $("#call").hidden = $("#controls").hidden = false;
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
    button.disabled = !media[source];
  }
  label($("#toggle-screen"), media.screen ? "Stop sharing" : "Share screen", Boolean(media.screen));
  $("#toggle-screen").hidden = !navigator.mediaDevices?.getDisplayMedia;
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
$("#copy-link").addEventListener("click", async () => {
  const caption = $("#copy-link span");
  try {
    await navigator.clipboard.writeText(location.href);
    caption.textContent = "Copied";
    setTimeout(() => (caption.textContent = "Copy link"), 2_000);
  } catch {
    prompt("Copy this link:", location.href);
  }
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
  $("#key").value = address.key;
  address.app = address.key = "";
}

document.title = `${room} · Ringcast`;
$("#room-name").textContent = room;
$("#join-title").textContent = `Join “${room}”`;
$("#name").value = localStorage.getItem("ringcast-name") ?? "";
$("#speaker-choice").hidden = !("setSinkId" in HTMLMediaElement.prototype);
if (!address.app || !address.key) askForAddress();
showLobby();
await media.start();
drawPreview();
drawDevices();
