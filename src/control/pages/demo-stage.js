// Seats for the pictures of those who spoke last: the server fills them, and only so many pictures are received.

import { Tile } from "./demo-tile.js";

const JOIN_AGAIN_MS = 1_000;

/** A level in dBov as a part of the meter. */
const loudness = (level) => Math.min(1, Math.max(0, (level + 60) / 60));

export class Seats {
  #client;
  #path;
  #stage;
  #nameOf;
  #tiles = [];
  #told = { seats: [], next: null };
  #levels = new Map(); // sessionId -> dBov
  #joined = ""; // the session and the tracks by which this page takes part
  #isJoining = false;
  #end = () => {};
  #timer;

  /** `name`: of the stage. `nameOf` gives the name of who has a session. `own` gives names of tracks that can be received now. */
  constructor({ client, name, count, grid, nameOf, own }) {
    this.#client = client;
    this.#stage = `stage:${name}`;
    this.#path = `ext/stages/${name}`;
    this.#nameOf = nameOf;
    this.own = own;
    this.#tiles = Array.from({ length: count }, () => {
      const tile = new Tile({});
      grid.append(tile.element);
      return tile;
    });
  }

  get tiles() {
    return this.#tiles;
  }

  async open() {
    await this.#client.call("PUT", this.#path, { seats: this.#tiles.length });
    this.#end = this.#client.listen(`${this.#path}/events`, (type, data) => this.#hear(type, data));
    this.#tiles.forEach((_, number) => this.#client.subscribe(this.#stage, `speaker-${number + 1}/video`));
    this.#timer = setInterval(() => this.#join(), JOIN_AGAIN_MS);
  }

  /** Takes a track if it is that of a seat. */
  take({ sessionId, trackName, track, mid }) {
    const tile = sessionId === this.#stage ? this.#tiles[Number(trackName.match(/\d+/)?.[0]) - 1] : null;
    tile?.setVideo(track, mid);
    return Boolean(tile);
  }

  /** Whether somebody has a seat before the eyes of this page. */
  has(sessionId) {
    return this.#seen().some((sits) => sits?.sessionId === sessionId);
  }

  close() {
    clearInterval(this.#timer);
    this.#end();
    if (this.#client.sessionId) this.#client.call("DELETE", `${this.#path}/members/${this.#client.sessionId}`).catch(() => {});
    this.#tiles.forEach((tile) => tile.remove());
  }

  /** Takes part by what is published, and again when that has changed. */
  async #join() {
    const { sessionId } = this.#client;
    const names = this.own();
    const tracks = { audio: names.find((name) => name === "microphone"), video: names.find((name) => name === "camera") };
    const joined = JSON.stringify({ sessionId, tracks });
    if (this.#isJoining || joined === this.#joined || !sessionId || !(tracks.audio || tracks.video)) return;
    this.#isJoining = true;
    try {
      await this.#client.call("PUT", `${this.#path}/members/${sessionId}`, tracks);
      this.#joined = joined;
    } catch {
      // The next turn tries again.
    } finally {
      this.#isJoining = false;
    }
  }

  #hear(type, data) {
    if (type === "seats") this.#told = data;
    if (type === "levels") for (const [sessionId, level] of Object.entries(data.levels)) this.#levels.set(sessionId, level);
    this.draw();
  }

  /** Who sits in each seat before the eyes of this page: nobody sees itself. */
  #seen() {
    return this.#told.seats.map((sits) => (sits.sessionId === this.#client.sessionId ? this.#told.next : sits));
  }

  draw() {
    this.#seen().forEach((sits, number) => {
      const tile = this.#tiles[number];
      if (!tile) return;
      tile.name = sits?.sessionId ? this.#nameOf(sits.sessionId) : "";
      tile.element.hidden = !sits?.sessionId;
      tile.isPictureOff = !sits?.video;
      tile.level = loudness(this.#levels.get(sits?.sessionId) ?? -127);
    });
  }
}
