// The client with promises and observables: tracks by names of your choice, on one session that renews itself.

import { BehaviorSubject } from "rxjs";
import { RingcastClient } from "./session.js";

const keyOf = ({ sessionId, trackName }) => `${sessionId} ${trackName}`;

export class Ringcast {
  #client;
  #onTrack;
  #local = new Map(); // trackName -> MediaStreamTrack
  #remote = new Map(); // key -> { sessionId, trackName, track, mid }
  #waiting = new Set(); // { event, test, resolve, reject }

  /** Names and tracks that are being published. */
  localTracks$ = new BehaviorSubject(new Map());
  /** What is being received: a list of { sessionId, trackName, track, mid }. */
  remoteTracks$ = new BehaviorSubject([]);
  /** "idle", "connecting", "connected", "reconnecting" or "closed". */
  state$ = new BehaviorSubject("idle");
  /** The present session, or null. It changes when a connection is lost for good: tell the others the new one. */
  sessionId$ = new BehaviorSubject(null);

  /** `apiUrl`: https://host/v1/apps/APP, or the path of a proxy. `token`: a token; not needed with a proxy. */
  constructor({ apiUrl, token = "", onTrack = () => {} }) {
    this.#client = new RingcastClient({ base: new URL(apiUrl, globalThis.location?.href).href, key: token });
    this.#onTrack = onTrack;
    const on = (type, handle) => this.#client.addEventListener(type, ({ detail }) => handle(detail));
    on("state", ({ state }) => this.state$.next(state));
    on("session", ({ sessionId }) => this.sessionId$.next(sessionId));
    on("published", (detail) => this.#settle("published", detail));
    on("track", (detail) => this.#arrived(detail));
    on("refused", (detail) => this.#refused(detail));
    on("problem", ({ message, fatal }) => {
      if (!fatal) return;
      for (const { reject } of this.#waiting) reject(new Error(message));
      this.#waiting.clear();
    });
  }

  get sessionId() {
    return this.#client.sessionId;
  }
  get peerConnection() {
    return this.#client.peerConnection;
  }
  /** A newer token for the calls from now on. */
  set token(token) {
    this.#client.key = token;
  }

  /** Camera and microphone; `constraints` are those of getUserMedia. */
  getCamera(constraints = { video: true, audio: true }) {
    return navigator.mediaDevices.getUserMedia(constraints);
  }

  /** A screen, window or tab; `options` are those of getDisplayMedia. */
  getScreenshare(options = { video: true, audio: true }) {
    return navigator.mediaDevices.getDisplayMedia(options);
  }

  /** Publishes; resolves with what others need to subscribe. */
  async publishTrack(track, { trackName = crypto.randomUUID(), encodings } = {}) {
    const published = this.#until("published", (detail) => detail.trackName === trackName);
    this.#client.publish(trackName, track, { encodings });
    this.#local.set(trackName, track);
    this.localTracks$.next(new Map(this.#local));
    await published;
    return { sessionId: this.#client.sessionId, trackName };
  }

  /** Sends another track of the same kind under the name; nobody needs to be told. */
  async replaceTrack(trackName, track) {
    await this.#client.replaceTrack(trackName, track);
    this.#local.set(trackName, track);
    this.localTracks$.next(new Map(this.#local));
  }

  unpublishTrack(trackName) {
    this.#client.unpublish(trackName);
    this.#local.delete(trackName);
    this.localTracks$.next(new Map(this.#local));
  }

  /** Receives a track of another session; resolves with the MediaStreamTrack, however long the publisher takes. */
  async subscribeToTrack({ trackName, sessionId, simulcast }) {
    const known = this.#remote.get(keyOf({ sessionId, trackName }));
    if (known) return known.track;
    const arrived = this.#until("track", (detail) => keyOf(detail) === keyOf({ sessionId, trackName }));
    this.#client.subscribe(sessionId, trackName, { simulcast });
    return (await arrived).track;
  }

  unsubscribeFromTrack({ trackName, sessionId }) {
    this.#client.unsubscribe(sessionId, trackName);
    this.#remote.delete(keyOf({ sessionId, trackName }));
    this.#showRemote();
  }

  /** Receives `to` in the place of `from`: the MediaStreamTrack stays, and nothing is negotiated. */
  async switchTrack(from, to) {
    await this.#client.switchSource(from, to);
    const entry = this.#remote.get(keyOf(from));
    this.#remote.delete(keyOf(from));
    this.#remote.set(keyOf(to), { ...entry, sessionId: to.sessionId, trackName: to.trackName });
    this.#showRemote();
  }

  /** The receiver of a subscribed track: for its statistics. */
  receiverOf({ trackName, sessionId }) {
    const mid = this.#remote.get(keyOf({ sessionId, trackName }))?.mid;
    return this.peerConnection?.getTransceivers().find((transceiver) => transceiver.mid === mid)?.receiver;
  }

  /** A call of the API that is none of a session, such as those about stages. */
  call(method, path, body) {
    return this.#client.call(method, path, body);
  }

  /** Calls `hear(type, data)` for each server-sent event of a path until what it returns is called. */
  listen(path, hear) {
    return this.#client.listen(path, hear);
  }

  /** Opens a data channel to send on; resolves with an RTCDataChannel. `options`: ordered, maxRetransmits ... */
  publishData(name, options) {
    return this.#client.openDataChannel(name, options);
  }

  /** Opens a data channel that another session publishes. `options`: the publisher's, canReply, waitForAck. */
  subscribeToData({ name, sessionId, ...options }) {
    return this.#client.openDataChannel(name, { sessionId, ...options });
  }

  closeData(channel) {
    return this.#client.closeDataChannel(channel);
  }

  close() {
    this.#client.close();
    for (const { reject } of this.#waiting) reject(new Error("The client was closed."));
    this.#waiting.clear();
  }

  #until(event, test) {
    return new Promise((resolve, reject) => this.#waiting.add({ event, test, resolve, reject }));
  }

  #settle(event, detail) {
    for (const waiting of [...this.#waiting].filter((one) => one.event === event && one.test(detail))) {
      this.#waiting.delete(waiting);
      waiting.resolve(detail);
    }
  }

  /** The server does not allow one track; the others go on. */
  #refused({ error, ...detail }) {
    const event = detail.sessionId ? "track" : "published";
    if (event === "published" && this.#local.delete(detail.trackName)) this.localTracks$.next(new Map(this.#local));
    for (const waiting of [...this.#waiting].filter((one) => one.event === event && one.test(detail))) {
      this.#waiting.delete(waiting);
      waiting.reject(error);
    }
  }

  #arrived(detail) {
    this.#remote.set(keyOf(detail), detail);
    this.#showRemote();
    this.#settle("track", detail);
    this.#onTrack(detail.track, { id: detail.sessionId, trackName: detail.trackName });
  }

  #showRemote() {
    this.remoteTracks$.next([...this.#remote.values()]);
  }
}
