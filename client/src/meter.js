// How loud a track is, for a bar beside a name.

export class LevelMeter {
  #context;
  #source;
  #analyser;
  #samples;

  /** `context`: an AudioContext to share; one of its own unless given. A context needs a gesture of the user first. */
  constructor(track, { context } = {}) {
    this.#context = context ?? new AudioContext();
    this.isOwn = !context;
    this.#source = this.#context.createMediaStreamSource(new MediaStream([track]));
    this.#analyser = Object.assign(this.#context.createAnalyser(), { fftSize: 1_024 });
    this.#samples = new Float32Array(this.#analyser.fftSize);
    this.#source.connect(this.#analyser);
  }

  /** The effective value of the last samples, 0 to 1. */
  get level() {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    return Math.sqrt(this.#samples.reduce((sum, sample) => sum + sample * sample, 0) / this.#samples.length);
  }

  close() {
    this.#source.disconnect();
    if (this.isOwn) this.#context.close();
  }
}
