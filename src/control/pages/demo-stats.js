// What the tiles show: figures per track from getStats, and sound levels for the meters.

/** Reads one report and turns it into figures per track, from the difference to the reading before. */
export class StatsReader {
  #before = new Map(); // report id -> { at, bytes, lost, received }

  /** Returns { rttMs, tracks: Map(track id or mid -> figures) }. */
  async read(pc) {
    const report = await pc.getStats();
    const tracks = new Map();
    const kept = new Map();
    for (const stat of report.values()) {
      if (stat.type === "inbound-rtp") this.#addInbound(stat, tracks, kept);
      if (stat.type === "outbound-rtp") this.#addOutbound(stat, report, tracks, kept);
    }
    this.#before = kept;
    return { rttMs: rttOf(report), tracks };
  }

  #addInbound(stat, tracks, kept) {
    const { bitsPerSecond, lostPart } = this.#rates(stat, stat.bytesReceived, stat.packetsLost, stat.packetsReceived, kept);
    tracks.set(stat.mid ?? stat.trackIdentifier, { ...picture(stat), bitsPerSecond, lostPart });
  }

  #addOutbound(stat, report, tracks, kept) {
    // With simulcast there is one entry per encoding: bitrates add up, the largest picture counts.
    const far = report.get(stat.remoteId);
    const { bitsPerSecond } = this.#rates(stat, stat.bytesSent, 0, 0, kept);
    const sum = tracks.get(stat.mid) ?? { width: 0, height: 0, framesPerSecond: 0, bitsPerSecond: 0, lostPart: null };
    const own = picture(stat);
    if (own.width >= sum.width) Object.assign(sum, own);
    sum.bitsPerSecond += bitsPerSecond ?? 0;
    if (far?.fractionLost !== undefined) sum.lostPart = Math.max(sum.lostPart ?? 0, far.fractionLost);
    tracks.set(stat.mid, sum);
  }

  #rates(stat, bytes = 0, lost = 0, received = 0, kept) {
    const before = this.#before.get(stat.id);
    kept.set(stat.id, { at: stat.timestamp, bytes, lost, received });
    if (!before || stat.timestamp <= before.at) return { bitsPerSecond: null, lostPart: null };
    const newlyLost = Math.max(0, lost - before.lost);
    const due = newlyLost + received - before.received;
    return {
      bitsPerSecond: (8_000 * (bytes - before.bytes)) / (stat.timestamp - before.at),
      lostPart: due > 0 ? newlyLost / due : null,
    };
  }
}

const picture = (stat) => ({
  width: stat.frameWidth ?? 0,
  height: stat.frameHeight ?? 0,
  framesPerSecond: stat.framesPerSecond ?? 0,
});

/** Round-trip time of the path in use: the transport names its pair; Firefox marks the pair itself. */
function rttOf(report) {
  const stats = [...report.values()];
  const transport = stats.find((stat) => stat.type === "transport" && stat.selectedCandidatePairId);
  const pair = transport
    ? report.get(transport.selectedCandidatePairId)
    : stats.find((stat) => stat.type === "candidate-pair" && (stat.selected ?? stat.nominated));
  return pair?.currentRoundTripTime === undefined ? null : pair.currentRoundTripTime * 1_000;
}

let audioContext = null;

/** Browsers start sound only after a click or a key press: call this from one. */
export function wakeAudio() {
  audioContext ??= new AudioContext();
  return audioContext.resume().catch(() => {});
}

/** Loudness of one audio track, 0 to 1, for a meter. */
export class LevelMeter {
  #source;
  #analyser;
  #samples;

  constructor(track) {
    audioContext ??= new AudioContext();
    this.#source = audioContext.createMediaStreamSource(new MediaStream([track]));
    this.#analyser = audioContext.createAnalyser();
    this.#analyser.fftSize = 512;
    this.#samples = new Float32Array(this.#analyser.fftSize);
    this.#source.connect(this.#analyser);
  }

  read() {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    const power = this.#samples.reduce((sum, value) => sum + value * value, 0) / this.#samples.length;
    const decibels = 10 * Math.log10(power + 1e-10);
    return Math.min(1, Math.max(0, (decibels + 60) / 50)); // -60 dB shows nothing, -10 dB fills the meter
  }

  close() {
    this.#source.disconnect();
  }
}
