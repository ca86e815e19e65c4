// A small client for the Ringcast HTTP API: one session, one RTCPeerConnection, any number of tracks.
// It has no dependencies; copy it into your own page. A call looks like this:
//
//   const client = new RingcastClient({ base: "https://sfu.example/v1/apps/APP", key: "SECRET" });
//   client.addEventListener("track", ({ detail }) => play(detail.track));
//   client.publish("camera", cameraTrack);            // others pull it as (client.sessionId, "camera")
//   client.subscribe(otherSessionId, "camera");       // ends in a "track" event
//
// `key` is the secret of the application or, in a page for others, a token.
//
// You say what you want to send and to receive. One loop, and only one, brings the session there call by
// call (a session has a single offer/answer exchange at a time, so calls must never overlap), repeats what
// can be repeated, and starts a new session with the same wishes when the old one cannot be saved.
//
// Events: "state" {state}, "session" {sessionId}, "published" {trackName, mid}, "track" {sessionId, trackName, track, mid},
// "problem" {message, fatal}.

const MAX_TRACKS_PER_CALL = 64;
const CALL_ATTEMPTS = 5;
const DISCONNECTED_GRACE_MS = 7_000;

const backoffMs = (failures) => Math.min(250 * 2 ** (failures - 1), 10_000);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A reply in which the server refused the whole call. */
export class ApiError extends Error {
  constructor(status, code, description) {
    super(description || code || `The server answered with status ${status}.`);
    this.status = status;
    this.code = code;
  }
  /** The same call may succeed in a moment: not connected yet, too many calls, or the server is busy. */
  get isTransient() {
    return this.status === 425 || this.status === 429 || this.status >= 500;
  }
  /** No session of this page will ever be accepted: a wrong key or an unknown app. */
  get isFatal() {
    return this.status === 401 || this.status === 403 || this.status === 404;
  }
}

/** The session was given up while a call was under way; the loop simply starts over. */
class StaleSession extends Error {}

/** Makes one API call. Every reply of the API is JSON, except that an overloaded server may send no body. */
export async function callApi(url, { method, key, body, keepalive = false }) {
  const response = await fetch(url, {
    method,
    keepalive,
    headers: {
      Authorization: `Bearer ${key}`,
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const reply = await response.json().catch(() => ({}));
  if (!response.ok || reply.errorCode) throw new ApiError(response.status, reply.errorCode, reply.errorDescription);
  return reply;
}

export class RingcastClient extends EventTarget {
  #base;
  #key;
  #session = null; // { id, pc }
  #local = new Map(); // trackName -> { trackName, track, encodings, transceiver, isLive }
  #remote = new Map(); // "sessionId trackName" -> { sessionId, trackName, transceiver, failures, retryAt }
  #channels = []; // data channels to open: { name, policy, request, resolve, reject }
  #leaving = []; // transceivers nobody wants any more
  #loop = null; // the running loop, if any
  #hasWork = false;
  #isClosed = false;
  #failures = 0;
  #state = "idle";

  constructor({ base, key }) {
    super();
    this.#base = base.replace(/\/$/, "");
    this.#key = key;
  }

  get sessionId() {
    return this.#session?.id ?? null;
  }
  get peerConnection() {
    return this.#session?.pc ?? null;
  }
  /** "idle", "connecting", "connected", "reconnecting" or "closed". */
  get state() {
    return this.#state;
  }
  /** Names of the tracks which others can pull from `sessionId` now. */
  get publishedNames() {
    return [...this.#local.values()].filter((entry) => entry.isLive).map((entry) => entry.trackName);
  }

  /** Another secret or token for the calls from now on: the old one may run out. */
  set key(key) {
    this.#key = key;
  }

  /** Sends `track` under `trackName`, which is unique within the session. */
  publish(trackName, track, { encodings } = {}) {
    this.unpublish(trackName);
    this.#local.set(trackName, { trackName, track, encodings, transceiver: null, isLive: false });
    this.#wake();
  }

  /** Sends another track (say, of another camera) in the place of the present one. The server need not know. */
  async replaceTrack(trackName, track) {
    const entry = this.#local.get(trackName);
    if (!entry) return;
    entry.track = track;
    await entry.transceiver?.sender.replaceTrack(track);
  }

  unpublish(trackName) {
    const entry = this.#local.get(trackName);
    if (!entry) return;
    this.#local.delete(trackName);
    this.#abandon(entry);
  }

  /** Pulls a track of another session; ends in a "track" event, also again after each reconnection. */
  subscribe(sessionId, trackName, { simulcast } = {}) {
    const id = `${sessionId} ${trackName}`;
    if (this.#remote.has(id)) return;
    this.#remote.set(id, { sessionId, trackName, simulcast, transceiver: null, failures: 0, retryAt: 0 });
    this.#wake();
  }

  /**
   * Has the section that receives one track carry another one of the same kind: nothing is negotiated, the
   * MediaStreamTrack stays. Ends in an error when the other track cannot be had; then the first one goes on.
   */
  async switchSource(from, to) {
    const id = `${from.sessionId} ${from.trackName}`;
    const entry = this.#remote.get(id);
    if (!entry?.transceiver) throw new Error("This track is not being received.");
    if (this.#remote.has(`${to.sessionId} ${to.trackName}`)) throw new Error("The other track is being received already.");
    const track = { location: "remote", mid: entry.transceiver.mid, sessionId: to.sessionId, trackName: to.trackName };
    const reply = await this.#callSession(this.#session, "PUT", "tracks/update", { tracks: [track] });
    const [result] = reply.tracks;
    if (result.errorCode) throw new ApiError(200, result.errorCode, result.errorDescription);
    this.#remote.delete(id);
    Object.assign(entry, { sessionId: to.sessionId, trackName: to.trackName });
    this.#remote.set(`${to.sessionId} ${to.trackName}`, entry);
  }

  /**
   * Opens a data channel: to send on, or with a `sessionId` to receive that of another session. `options` are those
   * of `createDataChannel`, and `canReply` and `waitForAck` of the API; a receiver repeats what the sender chose.
   * It ends with the session: open it again then.
   */
  openDataChannel(name, { sessionId, canReply, waitForAck, ...policy } = {}) {
    return new Promise((resolve, reject) => {
      const { ordered, maxRetransmits, maxPacketLifeTime } = policy;
      const request = { location: sessionId ? "remote" : "local", dataChannelName: name, sessionId, canReply, waitForAck };
      this.#channels.push({ name, policy, resolve, reject, request: { ...request, ordered, maxRetransmits, maxPacketLifeTime } });
      this.#wake();
    });
  }

  /** Closes a data channel on both sides. */
  async closeDataChannel(channel) {
    if (this.#session) await this.#callSession(this.#session, "PUT", "datachannels/close", { dataChannels: [{ id: channel.id }] });
    channel.close();
  }

  unsubscribe(sessionId, trackName) {
    const id = `${sessionId} ${trackName}`;
    const entry = this.#remote.get(id);
    if (!entry) return;
    this.#remote.delete(id);
    this.#abandon(entry);
  }

  /** Ends the session. The server sees the closed transport; there is no call to make. */
  close() {
    this.#isClosed = true;
    this.#dropSession();
    this.#local.clear();
    this.#remote.clear();
    this.#setState("closed");
  }

  // ---- the loop -------------------------------------------------------------------------------------------

  #wake() {
    this.#hasWork = true;
    this.#loop ??= this.#run().finally(() => {
      this.#loop = null;
      if (this.#hasWork && !this.#isClosed) this.#wake();
    });
  }

  async #run() {
    while (this.#hasWork && !this.#isClosed) {
      this.#hasWork = false;
      try {
        const session = await this.#openSession();
        await this.#closeLeaving(session);
        await this.#pushNew(session);
        await this.#pullNew(session);
        await this.#openChannels(session);
        this.#failures = 0;
      } catch (error) {
        if (this.#isClosed) return;
        this.#hasWork = true;
        if (error instanceof StaleSession) continue;
        if (error instanceof ApiError && error.isFatal) {
          for (const { reject } of this.#channels.splice(0)) reject(error);
          this.#emit("problem", { message: error.message, status: error.status, fatal: true });
          this.close();
          return;
        }
        // Where an exchange broke in the middle, nobody knows what the other side took: a new session is
        // the one state both agree on.
        this.#failures += 1;
        this.#emit("problem", { message: error.message, status: error.status, fatal: false });
        this.#dropSession();
        await pause(backoffMs(this.#failures));
      }
    }
  }

  async #openSession() {
    if (this.#session) return this.#session;
    if (this.#state === "idle") this.#setState("connecting");
    // Both calls go out together. Connections work without ICE servers wherever UDP is open.
    const [{ sessionId }, { iceServers }] = await Promise.all([
      this.#callRepeatedly("POST", "sessions/new"),
      fetch(`${this.#base}/generate-ice-servers`)
        .then((response) => response.json())
        .catch(() => ({ iceServers: [] })),
    ]);
    if (this.#isClosed) throw new StaleSession();
    const pc = new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
    const session = { id: sessionId, pc };
    this.#session = session;
    this.#emit("session", { sessionId });
    this.#watch(session);
    return session;
  }

  /** Gives the session up when its transport is gone for good, or for longer than a change of network takes. */
  #watch(session) {
    const { pc } = session;
    let graceTimer = 0;
    pc.addEventListener("connectionstatechange", () => {
      if (this.#session !== session) return;
      clearTimeout(graceTimer);
      if (pc.connectionState === "connected") this.#setState("connected");
      if (pc.connectionState === "failed") this.#restart();
      if (pc.connectionState === "disconnected") {
        graceTimer = setTimeout(() => {
          if (this.#session === session && pc.connectionState !== "connected") this.#restart();
        }, DISCONNECTED_GRACE_MS);
      }
    });
  }

  #restart() {
    this.#dropSession();
    this.#wake();
  }

  #dropSession() {
    const session = this.#session;
    this.#session = null;
    this.#leaving = [];
    for (const entry of this.#local.values()) Object.assign(entry, { transceiver: null, isLive: false });
    for (const entry of this.#remote.values()) Object.assign(entry, { transceiver: null, failures: 0, retryAt: 0 });
    if (!session) return;
    session.pc.close();
    if (!this.#isClosed) this.#setState("reconnecting");
  }

  // ---- the three kinds of negotiation ---------------------------------------------------------------------

  /** Push: we offer, the server answers in the same call. */
  async #pushNew(session) {
    const entries = [...this.#local.values()].filter((entry) => !entry.transceiver).slice(0, MAX_TRACKS_PER_CALL);
    if (entries.length === 0) return;
    const { pc } = session;
    for (const entry of entries) {
      entry.transceiver = pc.addTransceiver(entry.track, {
        direction: "sendonly",
        ...(entry.encodings ? { sendEncodings: entry.encodings } : {}),
      });
    }
    await pc.setLocalDescription();
    const reply = await this.#callSession(session, "POST", "tracks/new", {
      sessionDescription: { type: "offer", sdp: pc.localDescription.sdp },
      tracks: entries.map(({ trackName, transceiver }) => ({ location: "local", mid: transceiver.mid, trackName })),
    });
    await pc.setRemoteDescription(reply.sessionDescription);
    for (const entry of entries) {
      const result = reply.tracks.find((item) => item.mid === entry.transceiver.mid);
      if (!result || result.errorCode) throw new Error(result?.errorDescription ?? "The server did not take a track.");
      entry.isLive = true;
      if (this.#local.get(entry.trackName) === entry) this.#emit("published", { trackName: entry.trackName, mid: result.mid });
      else this.#abandon(entry);
    }
    this.#hasWork = true; // more than one call's worth may be waiting
  }

  /** Pull: we name the tracks, the server offers, our answer goes to `renegotiate`. */
  async #pullNew(session) {
    const isDue = (entry) => !entry.transceiver && entry.retryAt <= performance.now();
    const entries = [...this.#remote.values()].filter(isDue).slice(0, MAX_TRACKS_PER_CALL);
    if (entries.length === 0) return;
    const { pc } = session;
    const reply = await this.#callSession(session, "POST", "tracks/new", {
      tracks: entries.map(({ sessionId, trackName, simulcast }) => ({ location: "remote", sessionId, trackName, simulcast })),
    });
    if (reply.requiresImmediateRenegotiation) {
      await pc.setRemoteDescription(reply.sessionDescription);
      await pc.setLocalDescription();
      await this.#callSession(session, "PUT", "renegotiate", {
        sessionDescription: { type: "answer", sdp: pc.localDescription.sdp },
      });
    }
    // Results come in the order of the request. A track that cannot be had yet (its publisher is still
    // connecting, say) has an errorCode and no mid, and does no harm to the others: ask again later.
    entries.forEach((entry, index) => this.#takePulled(session, entry, reply.tracks[index]));
    this.#hasWork = true;
  }

  #takePulled(session, entry, result) {
    const transceiver = result?.mid ? session.pc.getTransceivers().find((item) => item.mid === result.mid) : null;
    if (!transceiver) {
      entry.failures += 1;
      const delay = backoffMs(entry.failures);
      entry.retryAt = performance.now() + delay;
      setTimeout(() => this.#wake(), delay + 5);
      return;
    }
    entry.transceiver = transceiver;
    const { sessionId, trackName } = entry;
    if (this.#remote.get(`${sessionId} ${trackName}`) !== entry) return this.#abandon(entry);
    this.#emit("track", { sessionId, trackName, track: transceiver.receiver.track, mid: result.mid });
  }

  /** Data channels: the transport for them once per session, then each gets its number from the server. */
  async #openChannels(session) {
    if (this.#channels.length === 0) return;
    const { pc } = session;
    if (!session.events) {
      session.events = pc.createDataChannel("server-events");
      await pc.setLocalDescription();
      const reply = await this.#callSession(session, "POST", "datachannels/establish", {
        dataChannel: { location: "remote", dataChannelName: "server-events" },
        sessionDescription: { type: "offer", sdp: pc.localDescription.sdp },
      });
      await pc.setRemoteDescription(reply.sessionDescription);
    }
    const wanted = this.#channels.splice(0, MAX_TRACKS_PER_CALL);
    try {
      const own = wanted.filter(({ request }) => request.location === "local");
      const others = wanted.filter(({ request }) => request.location === "remote");
      for (const group of [own, others].filter(({ length }) => length > 0)) {
        const reply = await this.#callSession(session, "POST", "datachannels/new", { dataChannels: group.map(({ request }) => request) });
        group.forEach(({ name, policy, resolve, reject }, index) => {
          const result = reply.dataChannels[index];
          if (result.errorCode) reject(new ApiError(200, result.errorCode, result.errorDescription));
          else resolve(pc.createDataChannel(name, { ...policy, negotiated: true, id: result.id }));
        });
      }
    } catch (error) {
      for (const { reject } of wanted) reject(error);
      throw error;
    }
    this.#hasWork = true;
  }

  /** Close: stopped transceivers go out in an offer, so that their m-lines can be used again. */
  async #closeLeaving(session) {
    const leaving = this.#leaving.splice(0, MAX_TRACKS_PER_CALL);
    if (leaving.length === 0) return;
    const { pc } = session;
    const tracks = leaving.map((transceiver) => ({ mid: transceiver.mid }));
    const survives = (transceiver) => transceiver.direction !== "stopped" && !leaving.includes(transceiver);
    if (!pc.getTransceivers().some(survives)) {
      // An offer in which every m-line is stopped would end the transport. `force` ends the tracks without
      // any SDP; the m-lines stay and the server uses them for later pulls.
      for (const transceiver of leaving) transceiver.sender.replaceTrack(null);
      await this.#callSession(session, "PUT", "tracks/close", { tracks, force: true });
      return;
    }
    for (const transceiver of leaving) transceiver.stop();
    await pc.setLocalDescription();
    const reply = await this.#callSession(session, "PUT", "tracks/close", {
      tracks,
      force: false,
      sessionDescription: { type: "offer", sdp: pc.localDescription.sdp },
    });
    await pc.setRemoteDescription(reply.sessionDescription);
  }

  #abandon(entry) {
    if (entry.transceiver?.mid && !this.#leaving.includes(entry.transceiver)) this.#leaving.push(entry.transceiver);
    if (this.#session) this.#wake();
  }

  // ---- calls ----------------------------------------------------------------------------------------------

  async #callSession(session, method, path, body) {
    const reply = await this.#callRepeatedly(method, `sessions/${session.id}/${path}`, body, session);
    if (this.#session !== session) throw new StaleSession();
    return reply;
  }

  /** Repeats what the network or a busy server refused; pushing the same name and mid twice is harmless. */
  async #callRepeatedly(method, path, body, session = null) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await callApi(`${this.#base}/${path}`, { method, key: this.#key, body });
      } catch (error) {
        if (this.#isClosed || this.#session !== session) throw new StaleSession();
        const isTransient = error instanceof ApiError ? error.isTransient : error instanceof TypeError;
        if (!isTransient || attempt >= CALL_ATTEMPTS) throw error;
        await pause(backoffMs(attempt));
      }
    }
  }

  #setState(state) {
    if (this.#state === state) return;
    this.#state = state;
    this.#emit("state", { state });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
