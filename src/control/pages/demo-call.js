// One call: what the room's board says on one side, the media client on the other, tiles in between.

import { RingcastClient } from "./ringcast-client.js";
import { RingcastRoom } from "./ringcast-room.js";
import { wordsFor } from "./demo-key.js";
import { Seats } from "./demo-stage.js";
import { StatsReader } from "./demo-stats.js";
import { Tile, arrange } from "./demo-tile.js";

const FIGURES_EVERY_MS = 1_000;
const REASONS_EVERY_MS = 3_000;
const LEVELS_EVERY_MS = 80;
const SIMULCAST_FROM_WIDTH = 960;

/** Three sizes of the same picture, best first; every viewer gets the one its connection can carry. */
const SIMULCAST_ENCODINGS = [
  { rid: "f", scaleResolutionDownBy: 1, maxBitrate: 1_500_000 },
  { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 150_000 },
];

const randomId = () => Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Events: "state" {state}, "problem" {message}, "recovered", "ended" {message}, "people" {count}. */
export class Call extends EventTarget {
  #client;
  #room;
  #media;
  #name;
  #tiles;
  #publishes;
  #selfTile = new Tile({ isSelf: true });
  #ownScreen = null;
  #people = new Map(); // member id -> { tile, screenTile, tracks: Map(trackName -> {...}), sessionId }
  #stats = { pc: null, reader: null };
  #reasons = new Map(); // mid -> why the server sends this size of picture
  #timers = [];
  #arranger;
  #audience;
  #seats = null;
  #sent = new Map(); // trackName -> the MediaStreamTrack the client sends
  #speakerId = "";
  #onMediaChange = ({ detail }) => this.#sendMedia(detail.source);

  /**
   * `publishes` tells of the name of a track whether the key allows to send it. With `seats` only so many pictures are received,
   * of those who spoke last; all others stand in `audience`.
   */
  constructor({ base, key, room, name, media, tiles, audience, seats, publishes }) {
    super();
    this.#publishes = publishes;
    this.#media = media;
    this.#name = name;
    this.#tiles = tiles;
    this.#client = new RingcastClient({ base, key });
    this.#audience = seats > 0 ? audience : tiles;
    if (seats > 0) {
      const nameOf = (sessionId) => [...this.#people.values()].find((person) => person.sessionId === sessionId)?.name ?? "…";
      this.#seats = new Seats({ client: this.#client, name: room, count: seats, grid: tiles, nameOf, own: () => this.#client.publishedNames });
    }
    this.#room = new RingcastRoom({ base, key, room, memberId: randomId(), describe: () => this.#describe() });
  }

  start() {
    this.#selfTile.name = this.#name;
    this.#audience.append(this.#selfTile.element);
    this.#client.addEventListener("state", ({ detail }) => {
      this.#pass("state", detail);
      if (detail.state === "connected") this.#pass("recovered");
      this.#room.announce();
    });
    this.#client.addEventListener("published", ({ detail }) => {
      if (detail.trackName === "camera") this.#selfTile.videoMid = detail.mid;
      if (detail.trackName === "microphone") this.#selfTile.audioMid = detail.mid;
      if (detail.trackName === "screen" && this.#ownScreen) this.#ownScreen.videoMid = detail.mid;
      this.#room.announce();
    });
    this.#client.addEventListener("track", ({ detail }) => this.#show(detail));
    this.#client.addEventListener("problem", ({ detail }) => this.#explain(detail));
    this.#client.addEventListener("refused", ({ detail }) => this.#pass("problem", { message: `The server does not allow this: ${detail.error.message}` }));
    this.#room.addEventListener("members", ({ detail }) => this.#follow(detail.members));
    this.#room.addEventListener("problem", ({ detail }) => this.#explain(detail));
    this.#room.addEventListener("recovered", () => this.#pass("recovered"));
    this.#media.addEventListener("change", this.#onMediaChange);
    for (const source of ["microphone", "camera", "screen"]) this.#sendMedia(source);
    this.#arranger = new ResizeObserver(() => arrange(this.#tiles));
    this.#arranger.observe(this.#tiles.parentElement);
    this.#seats?.open().catch((error) => this.#explain(error));
    this.#room.open();
    this.#timers = [
      setInterval(() => this.#readFigures(), FIGURES_EVERY_MS),
      setInterval(() => this.#askWhy(), REASONS_EVERY_MS),
      setInterval(() => this.#allTiles().forEach((tile) => tile.drawLevel()), LEVELS_EVERY_MS),
    ];
  }

  leave() {
    this.#timers.forEach(clearInterval);
    this.#arranger.disconnect();
    this.#media.removeEventListener("change", this.#onMediaChange);
    this.#seats?.close();
    this.#room.close();
    this.#client.close();
    this.#allTiles().forEach((tile) => tile.remove());
  }

  setSpeaker(deviceId) {
    this.#speakerId = deviceId;
    this.#allTiles().forEach((tile) => !tile.isSelf && tile.setSpeaker(deviceId));
  }

  // ---- what we send ---------------------------------------------------------------------------------------

  #sendMedia(source) {
    const media = this.#media;
    if (source === "screen") {
      this.#send("screen", media.screen?.getVideoTracks()[0], [{ maxBitrate: 2_500_000 }]);
      this.#send("screen-audio", media.screen?.getAudioTracks()[0]);
      this.#showOwnScreen(media.screen?.getVideoTracks()[0]);
    } else {
      const track = media[source];
      const isWide = source === "camera" && (track?.getSettings().width ?? 0) >= SIMULCAST_FROM_WIDTH;
      this.#send(source, track, isWide ? SIMULCAST_ENCODINGS : undefined);
      if (source === "camera") this.#selfTile.setVideo(track, this.#selfTile.videoMid);
      else this.#selfTile.setAudio(track, this.#selfTile.audioMid);
      this.#selfTile.isPictureOff = !media.isOn("camera");
      this.#selfTile.isMuted = !media.isOn("microphone");
    }
    this.#room.announce();
  }

  /** Whoever shares a screen sees what the others see. */
  #showOwnScreen(track) {
    if (!track) {
      this.#ownScreen?.remove();
      this.#ownScreen = null;
    } else {
      this.#ownScreen ??= new Tile({ isSelf: true, isScreen: true });
      this.#ownScreen.name = this.#name;
      this.#ownScreen.setVideo(track, this.#ownScreen.videoMid);
      this.#tiles.prepend(this.#ownScreen.element);
    }
    arrange(this.#tiles);
  }

  #send(trackName, track, encodings) {
    if (!this.#publishes(trackName)) return;
    const former = this.#sent.get(trackName);
    if (former === track) return;
    this.#sent.set(trackName, track);
    if (track && former) this.#client.replaceTrack(trackName, track);
    else if (track) this.#client.publish(trackName, track, { encodings });
    else this.#client.unpublish(trackName);
  }

  /** What the board tells the others. A track is named only when it can be pulled. */
  #describe() {
    const names = this.#client.state === "connected" ? this.#client.publishedNames : [];
    const tracks = names.map((trackName) => ({
      trackName,
      kind: this.#sent.get(trackName)?.kind ?? "video",
      source: trackName.startsWith("screen") ? "screen" : trackName,
      muted: trackName in { camera: 1, microphone: 1 } && !this.#media.isOn(trackName),
    }));
    return { name: this.#name, sessionId: this.#client.sessionId ?? undefined, tracks };
  }

  // ---- what we receive ------------------------------------------------------------------------------------

  #follow(members) {
    const present = new Set(members.map((member) => member.id));
    for (const [id, person] of this.#people) if (!present.has(id)) this.#removePerson(id, person);
    for (const member of members) this.#updatePerson(member);
    this.#seats?.draw();
    arrange(this.#tiles);
    this.#pass("people", { count: members.length });
  }

  #updatePerson(member) {
    let person = this.#people.get(member.id);
    if (!person) {
      person = { tile: new Tile({}), screenTile: null, tracks: new Map(), sessionId: member.sessionId };
      this.#people.set(member.id, person);
      this.#audience.append(person.tile.element);
    }
    // A member who reconnects has another session: all its tracks are new ones.
    const isMoved = person.sessionId !== member.sessionId;
    const named = new Set(member.tracks.map((track) => track.trackName));
    for (const trackName of person.tracks.keys()) if (isMoved || !named.has(trackName)) this.#forget(person, trackName);
    person.sessionId = member.sessionId;
    person.name = person.tile.name = member.name;
    for (const track of member.tracks) {
      person.tracks.set(track.trackName, track);
      if (track.source === "screen") this.#openScreen(person);
      // Whose picture is received is up to the stage.
      if (!this.#seats || track.source !== "camera") this.#client.subscribe(member.sessionId, track.trackName);
    }
    if (person.screenTile) person.screenTile.name = member.name;
    const find = (source) => member.tracks.find((track) => track.source === source);
    person.tile.isMuted = find("microphone")?.muted ?? true;
    person.tile.isPictureOff = find("camera")?.muted ?? true;
  }

  #openScreen(person) {
    if (person.screenTile) return;
    person.screenTile = new Tile({ isScreen: true });
    this.#tiles.prepend(person.screenTile.element);
  }

  #show({ sessionId, trackName, track, mid }) {
    if (this.#seats?.take({ sessionId, trackName, track, mid })) return;
    for (const person of this.#people.values()) {
      const known = person.tracks.get(trackName);
      if (person.sessionId !== sessionId || !known) continue;
      const tile = known.source === "screen" ? person.screenTile : person.tile;
      if (track.kind === "video") tile.setVideo(track, mid);
      else tile.setAudio(track, mid, this.#speakerId);
    }
  }

  #forget(person, trackName) {
    const { source, kind } = person.tracks.get(trackName);
    person.tracks.delete(trackName);
    this.#client.unsubscribe(person.sessionId, trackName);
    if (source === "screen") {
      if (kind === "video") person.screenTile?.remove();
      if (kind === "video") person.screenTile = null;
    } else if (source === "camera") person.tile.setVideo(null);
    else person.tile.setAudio(null);
  }

  #removePerson(id, person) {
    this.#people.delete(id);
    for (const trackName of [...person.tracks.keys()]) this.#forget(person, trackName);
    person.screenTile?.remove();
    person.tile.remove();
  }

  // ---- figures and problems -------------------------------------------------------------------------------

  #allTiles() {
    const others = [...this.#people.values()].flatMap((person) => [person.tile, person.screenTile]);
    return [this.#selfTile, this.#ownScreen, ...(this.#seats?.tiles ?? []), ...others].filter(Boolean);
  }

  async #readFigures() {
    const pc = this.#client.peerConnection;
    if (!pc) return;
    if (this.#stats.pc !== pc) this.#stats = { pc, reader: new StatsReader() };
    const figures = await this.#stats.reader.read(pc).catch(() => null);
    if (figures) this.#allTiles().forEach((tile) => tile.showFigures({ ...figures, reasons: this.#reasons }));
  }

  async #askWhy() {
    const { sessionId } = this.#client;
    const reply = sessionId && (await this.#client.call("GET", `ext/sessions/${sessionId}/stats`).catch(() => null));
    if (!reply) return;
    const { path, remote } = reply.statistics;
    this.#reasons = new Map(remote.map(({ mid, layerReason }) => [mid, { layerReason, estimateBps: path?.estimateBps }]));
  }

  #explain({ message, status, subcode, fatal }) {
    if ([401, 403, 404].includes(status)) {
      this.#pass("ended", { message: wordsFor({ status, subcode, message }) });
    } else if (fatal) {
      this.#pass("ended", { message });
    } else if (status === undefined) {
      this.#pass("problem", { message: "The connection was interrupted. Trying again …" });
    } else {
      this.#pass("problem", { message: `The server could not do that (${message.replace(/\.$/, "")}). Trying again …` });
    }
  }

  #pass(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
