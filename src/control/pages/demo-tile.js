// One tile: picture or initials, name, badges, meter and figures of one person or one shared screen.

import { LevelMeter } from "./demo-stats.js";

const SPEAKING_LEVEL = 0.35;

/** What a server's `layerReason` means to who watches; the others say that all is well. */
const REASONS = {
  bandwidth: "smaller, to fit this connection",
  overBudget: "more than this connection carries",
  paused: "paused, too much for this connection",
  switching: "changing size",
  no_codec: "not playable here",
};

export class Tile {
  #video;
  #audio;
  #figures;
  #mutedBadge;
  #bar;
  #meter = null;
  #heard = null;
  #name;
  #hasFrames = false;
  /** How loud it is, 0 to 1, where that is told and not heard here. */
  level = null;
  /** mids of the tracks shown, by which the figures are found */
  videoMid = null;
  audioMid = null;

  constructor({ isSelf = false, isScreen = false }) {
    this.isSelf = isSelf;
    this.isScreen = isScreen;
    const fragment = document.querySelector("#tile-template").content.cloneNode(true);
    this.element = fragment.querySelector(".tile");
    this.element.classList.toggle("is-self", isSelf && !isScreen);
    this.element.classList.toggle("is-screen", isScreen);
    this.#video = fragment.querySelector("video");
    this.#audio = fragment.querySelector("audio");
    if (isSelf) this.#audio.remove();
    this.#figures = fragment.querySelector(".figures");
    this.#mutedBadge = fragment.querySelector(".muted-badge");
    this.#bar = fragment.querySelector(".meter-fill");
    this.#video.addEventListener("resize", () => {
      this.#hasFrames = this.#video.videoWidth > 0;
      this.#refresh();
    });
    this.isPictureOff = false;
  }

  set name(name) {
    if (name === this.#name) return;
    this.#name = name;
    const screen = this.isSelf ? "Your screen" : `Screen of ${name}`;
    const shown = this.isScreen ? screen : this.isSelf ? `${name} (you)` : name;
    this.element.setAttribute("aria-label", shown);
    this.element.querySelector(".tile-name").textContent = shown;
    this.element.querySelector(".initials").textContent = initialsOf(name);
  }

  set isMuted(isMuted) {
    this.#mutedBadge.hidden = !isMuted;
  }

  set isPictureOff(isOff) {
    this.element.dataset.off = String(isOff);
    this.#refresh();
  }

  setVideo(track, mid = null) {
    this.videoMid = mid;
    if (this.#video.srcObject?.getTracks()[0] === (track ?? undefined)) return;
    this.#hasFrames = false;
    this.#video.srcObject = track ? new MediaStream([track]) : null;
    if (track) play(this.#video);
    this.#refresh();
  }

  setAudio(track, mid = null, speakerId = "") {
    this.audioMid = mid;
    if (this.#heard === (track ?? null)) return;
    this.#heard = track ?? null;
    this.#meter?.close();
    this.#meter = track ? new LevelMeter(track) : null;
    if (this.isSelf) return;
    this.#audio.srcObject = track ? new MediaStream([track]) : null;
    this.setSpeaker(speakerId);
    if (track) play(this.#audio);
  }

  setSpeaker(deviceId) {
    if (deviceId && this.#audio.setSinkId) this.#audio.setSinkId(deviceId).catch(() => {});
  }

  drawLevel() {
    const level = this.level ?? this.#meter?.read() ?? 0;
    this.#bar.style.width = `${Math.round(level * 100)}%`;
    this.element.classList.toggle("is-speaking", level > SPEAKING_LEVEL);
  }

  showFigures({ rttMs, tracks, reasons }) {
    // A camera that is off still sends frames, all of them black.
    const video = this.element.dataset.off === "true" ? undefined : tracks.get(this.videoMid);
    const audio = tracks.get(this.audioMid);
    const bits = (video?.bitsPerSecond ?? 0) + (audio?.bitsPerSecond ?? 0);
    const { layerReason, estimateBps } = (!this.isSelf && reasons.get(this.videoMid)) || {};
    this.element.title = layerReason && estimateBps ? `${layerReason}: this connection carries about ${rate(estimateBps)}` : "";
    const lost = [video?.lostPart, audio?.lostPart].filter((part) => typeof part === "number");
    this.#figures.textContent = [
      video?.width ? `${video.width}×${video.height}` : "",
      video?.width ? `${Math.round(video.framesPerSecond)} fps` : "",
      bits > 0 ? rate(bits) : "",
      lost.length > 0 ? `${(100 * Math.max(...lost)).toFixed(1)} % lost` : "",
      rttMs !== null ? `${rttMs.toFixed(rttMs < 10 ? 1 : 0)} ms` : "",
      REASONS[layerReason] ?? "",
    ]
      .filter(Boolean)
      .join(" · ");
  }

  remove() {
    this.#meter?.close();
    this.#video.srcObject = null;
    this.#audio.srcObject = null;
    this.element.remove();
  }

  #refresh() {
    this.element.dataset.picture = String(this.#hasFrames && this.element.dataset.off !== "true");
  }
}

/** Chooses the number of columns that gives the tiles in `grid` the largest 16:9 pictures. */
export function arrange(grid) {
  const { clientWidth: width, clientHeight } = grid.parentElement;
  const height = clientHeight * (grid.querySelector(".is-screen") ? 0.4 : 1);
  const count = grid.querySelectorAll(".tile:not(.is-screen)").length || 1;
  const widthIn = (columns) => Math.min(width / columns, ((height / Math.ceil(count / columns)) * 16) / 9);
  const choices = Array.from({ length: count }, (_, index) => index + 1).filter((columns) => width / columns >= 150);
  const best = choices.reduce((a, b) => (widthIn(b) > widthIn(a) ? b : a), 1);
  grid.style.setProperty("--columns", best);
}

function play(element) {
  // Refused only before the first click in the page, and joining is a click.
  element.play().catch(() => {});
}

function rate(bitsPerSecond) {
  return bitsPerSecond >= 1e6 ? `${(bitsPerSecond / 1e6).toFixed(1)} Mbit/s` : `${Math.round(bitsPerSecond / 1e3)} kbit/s`;
}

function initialsOf(name) {
  const words = name.trim().split(/\s+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return letters.map((word) => [...word][0].toUpperCase()).join("") || "?";
}
