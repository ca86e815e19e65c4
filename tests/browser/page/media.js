// Pictures and tones that name their sender, and the reading of both on the receiving side.

const COLOURS = [
  [225, 40, 40],
  [40, 190, 40],
  [50, 70, 235],
  [225, 215, 40],
  [215, 50, 215],
  [40, 205, 220],
];

/**
 * A canvas track of three upright stripes; their colours spell `identity` in base six (0 to 215). `specks` small spots that
 * change in every frame make it hard to compress: frames of many packets.
 */
export class Picture {
  constructor({ identity, width = 320, height = 180, fps = 10, specks = 0 }) {
    this.canvas = document.createElement("canvas");
    Object.assign(this.canvas, { width, height });
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.identity = identity;
    this.specks = specks;
    this.ticks = 0;
    const stream = this.canvas.captureStream(0);
    [this.track] = stream.getVideoTracks();
    // Firefox has it on the stream, where it once stood in the specification.
    this.outlet = this.track.requestFrame ? this.track : stream;
    this.draw();
    this.timer = setInterval(() => this.draw(), 1000 / fps);
  }

  draw() {
    const { width, height } = this.canvas;
    [Math.floor(this.identity / 36), Math.floor(this.identity / 6) % 6, this.identity % 6].forEach((digit, column) => {
      this.context.fillStyle = `rgb(${COLOURS[digit].join(" ")})`;
      this.context.fillRect((column * width) / 3, 0, width / 3 + 1, height);
    });
    // Something that moves, below the part that is read, so that no two frames are alike.
    this.context.fillStyle = "#888";
    this.context.fillRect(((this.ticks * 7) % (width - 24)) | 0, height - 30, 24, 24);
    for (let speck = 0; speck < this.specks; speck += 1) {
      this.context.fillStyle = `hsl(${Math.random() * 360} 90% 50%)`;
      this.context.fillRect(Math.random() * width, height * (0.6 + Math.random() * 0.4), 9, 9);
    }
    this.ticks += 1;
    this.outlet.requestFrame();
  }

  stop() {
    clearInterval(this.timer);
    this.track.stop();
  }
}

let sharedContext;
export const audioContext = () => (sharedContext ??= new AudioContext({ sampleRate: 48_000 }));

/** An audio track with one sine tone. */
export class Tone {
  constructor({ hz }) {
    const context = audioContext();
    this.oscillator = new OscillatorNode(context, { frequency: hz });
    const gain = new GainNode(context, { gain: 0.4 });
    const output = context.createMediaStreamDestination();
    this.oscillator.connect(gain).connect(output);
    this.oscillator.start();
    [this.track] = output.stream.getAudioTracks();
  }

  stop() {
    this.oscillator.stop();
    this.track.stop();
  }
}

/** Speaks in syllables, or is silent: a tone that does not change is noise to those who look for a speaker. */
export class Voice {
  constructor({ hz }) {
    const context = audioContext();
    const tone = new OscillatorNode(context, { frequency: hz });
    const beat = new OscillatorNode(context, { type: "square", frequency: 4.5 });
    const [syllables, depth] = [new GainNode(context, { gain: 0.5 }), new GainNode(context, { gain: 0.5 })];
    this.volume = new GainNode(context, { gain: 0 });
    const output = context.createMediaStreamDestination();
    beat.connect(depth).connect(syllables.gain);
    tone.connect(syllables).connect(this.volume).connect(output);
    for (const source of [tone, beat]) source.start();
    [this.track] = output.stream.getAudioTracks();
  }

  set speaks(speaks) {
    this.volume.gain.value = speaks ? 0.5 : 0;
  }
}

/** Plays a received track and says what is seen or heard. */
export class Playback {
  constructor(track) {
    this.track = track;
    this.element = document.createElement(track.kind);
    this.element.autoplay = true;
    this.element.muted = track.kind === "video";
    this.element.playsInline = true;
    this.element.srcObject = new MediaStream([track]);
    document.body.append(this.element);
    this.element.play().catch(() => {});
    if (track.kind === "audio") {
      this.analyser = new AnalyserNode(audioContext(), { fftSize: 8192, smoothingTimeConstant: 0 });
      this.source = audioContext().createMediaStreamSource(new MediaStream([track]));
      this.source.connect(this.analyser);
    } else {
      this.canvas = document.createElement("canvas");
      Object.assign(this.canvas, { width: 96, height: 54 });
      this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    }
  }

  /** The identity shown, "black" for a filler picture, null before the first frame. */
  picture() {
    if (!this.element.videoWidth) return null;
    this.context.drawImage(this.element, 0, 0, 96, 54);
    const digits = [16, 48, 80].map((x) => {
      const [r, g, b] = this.context.getImageData(x, 18, 1, 1).data;
      if (r + g + b < 90) return -1;
      const distances = COLOURS.map((colour) => Math.hypot(colour[0] - r, colour[1] - g, colour[2] - b));
      return distances.indexOf(Math.min(...distances));
    });
    if (digits.every((digit) => digit === -1)) return "black";
    return digits[0] * 36 + digits[1] * 6 + digits[2];
  }

  /** Frequency of the loudest tone, and how loud it is in dB. */
  tone() {
    const bins = new Float32Array(this.analyser.frequencyBinCount);
    this.analyser.getFloatFrequencyData(bins);
    let best = 0;
    bins.forEach((level, index) => (best = level > bins[best] ? index : best));
    return { hz: Math.round((best * audioContext().sampleRate) / this.analyser.fftSize), db: Number.isFinite(bins[best]) ? bins[best] : -200 };
  }

  close() {
    this.source?.disconnect();
    this.element.srcObject = null;
    this.element.remove();
  }
}

/** Measures the longest time without a decoded frame of `track`. */
export class FrameWatch {
  constructor(track) {
    Object.assign(this, { frames: 0, longest: 0, last: performance.now() });
    this.reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
    this.watch();
  }

  async watch() {
    for (;;) {
      const { value, done } = await this.reader.read();
      if (done) return;
      value.close();
      this.frames += 1;
      this.note();
      this.last = performance.now();
    }
  }

  note() {
    this.longest = Math.max(this.longest, performance.now() - this.last);
  }

  end() {
    this.note();
    this.reader.cancel();
    return { frames: this.frames, longest: Math.round(this.longest) };
  }
}

/** Makes the source that `spec` asks for: a picture, a tone, a device or the screen. */
export async function makeSource(spec) {
  if (spec.kind === "picture") return new Picture(spec);
  if (spec.kind === "tone") return new Tone(spec);
  const stream =
    spec.kind === "screen"
      ? await navigator.mediaDevices.getDisplayMedia({ video: true })
      : await navigator.mediaDevices.getUserMedia({ [spec.kind]: spec.deviceId ? { deviceId: { exact: spec.deviceId } } : true });
  const [track] = stream.getTracks();
  return { track, stop: () => track.stop() };
}

/** Receiving figures of one track. */
export async function receivedFigures(pc, track) {
  // A track whose m-line has been closed and reused belongs to no receiver, and its figures are over.
  const isThere = pc.getReceivers().some((receiver) => receiver.track === track);
  const report = isThere ? await pc.getStats(track) : new Map();
  for (const stat of report.values()) {
    if (stat.type !== "inbound-rtp") continue;
    return {
      codec: report.get(stat.codecId)?.mimeType ?? null,
      frames: stat.framesDecoded ?? 0,
      width: stat.frameWidth ?? 0,
      height: stat.frameHeight ?? 0,
      packets: stat.packetsReceived ?? 0,
      bytes: stat.bytesReceived ?? 0,
      lost: stat.packetsLost ?? 0,
      nacks: stat.nackCount ?? 0,
      retransmitted: stat.retransmittedPacketsReceived ?? 0,
      freezes: stat.freezeCount ?? 0,
      energy: stat.totalAudioEnergy ?? 0,
    };
  }
  return { frames: 0, width: 0, height: 0, packets: 0, bytes: 0, lost: 0, nacks: 0, retransmitted: 0, freezes: 0, energy: 0 };
}
