// The camera, the microphone and the screen of this computer, and plain words for what can go wrong with them.

const CONSTRAINTS = {
  camera: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } },
  microphone: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
};
const REQUEST_KEY = { camera: "video", microphone: "audio" };
const storedId = (source) => localStorage.getItem(`ringcast-${source}`) || undefined;

/** Events: "change" {source} when a track came, went or was switched, "problem" {source, message}. */
export class LocalMedia extends EventTarget {
  camera = null;
  microphone = null;
  screen = null; // the stream of a shared screen: a video track, sometimes an audio track

  /** Opens camera and microphone, or the one of them that can be had. */
  async start() {
    if (!navigator.mediaDevices) {
      this.#report("camera", "Browsers lend camera and microphone only to pages opened over https or from this computer.");
      return;
    }
    try {
      const stream = await navigator.mediaDevices.getUserMedia({
        video: { ...CONSTRAINTS.camera, deviceId: storedId("camera") },
        audio: { ...CONSTRAINTS.microphone, deviceId: storedId("microphone") },
      });
      this.#take("camera", stream.getVideoTracks()[0]);
      this.#take("microphone", stream.getAudioTracks()[0]);
    } catch (error) {
      // A request for both fails as a whole where only one is missing; a refusal is not asked again.
      if (error.name === "NotAllowedError") this.#report("camera", sentenceFor("camera or microphone", error));
      else await Promise.all([this.choose("camera"), this.choose("microphone")]);
    }
  }

  /** Switches to another device; the former goes on if this one cannot be opened. */
  async choose(source, deviceId) {
    const constraints = { ...CONSTRAINTS[source], ...(deviceId ? { deviceId: { exact: deviceId } } : {}) };
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ [REQUEST_KEY[source]]: constraints });
      if (deviceId) localStorage.setItem(`ringcast-${source}`, deviceId);
      this.#take(source, stream.getTracks()[0]);
    } catch (error) {
      this.#report(source, sentenceFor(source, error));
    }
  }

  isOn(source) {
    return Boolean(this[source]?.enabled);
  }

  /** A track switched off sends black or silence, so it can be switched on again without any negotiation. */
  setOn(source, isOn) {
    if (!this[source]) return;
    this[source].enabled = isOn;
    this.#changed(source);
  }

  async shareScreen() {
    try {
      const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { max: 30 } }, audio: true });
      const [video] = stream.getVideoTracks();
      video.contentHint = "detail"; // sharp text matters more than smooth motion
      video.addEventListener("ended", () => this.stopScreen());
      this.screen = stream;
      this.#changed("screen");
    } catch (error) {
      if (error.name !== "NotAllowedError") this.#report("screen", sentenceFor("screen", error));
    }
  }

  stopScreen() {
    this.screen?.getTracks().forEach((track) => track.stop());
    this.screen = null;
    this.#changed("screen");
  }

  stop() {
    this.camera?.stop();
    this.microphone?.stop();
    this.camera = this.microphone = null;
    if (this.screen) this.stopScreen();
  }

  #take(source, track) {
    const former = this[source];
    if (former) track.enabled = former.enabled;
    former?.stop();
    this[source] = track;
    track.addEventListener("ended", () => {
      if (this[source] !== track) return;
      this[source] = null;
      this.#report(source, `The ${source} was disconnected. Choose another one under “Devices”.`);
      this.#changed(source);
    });
    this.#changed(source);
  }

  #changed(source) {
    this.dispatchEvent(new CustomEvent("change", { detail: { source } }));
  }

  #report(source, message) {
    this.dispatchEvent(new CustomEvent("problem", { detail: { source, message } }));
  }
}

/** Fills a <select> with the devices of its `data-kind` and marks the one in use. */
export async function fillDeviceList(select, currentId) {
  const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  const devices = all.filter((device) => device.kind === select.dataset.kind && device.deviceId);
  const options = devices.map((device, index) => new Option(device.label || `Device ${index + 1}`, device.deviceId));
  if (options.length === 0) options.push(new Option(select.dataset.kind === "audiooutput" ? "Default" : "None found", ""));
  select.replaceChildren(...options);
  select.disabled = devices.length === 0;
  if (currentId && devices.some((device) => device.deviceId === currentId)) select.value = currentId;
}

function sentenceFor(what, error) {
  const reasons = {
    NotAllowedError: `The browser was not allowed to use the ${what}. You can still join, watch and listen.`,
    NotFoundError: `No ${what} was found. You can still join without it.`,
    OverconstrainedError: `The chosen ${what} is no longer there. Choose another one.`,
    NotReadableError: `The ${what} is in use by another program. Close that program, then choose the ${what} again.`,
  };
  return reasons[error.name] ?? `The ${what} could not be opened (${error.message || error.name}).`;
}
