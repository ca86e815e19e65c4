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
// "refused" {trackName, error} and, of a subscription, {sessionId, trackName, error}; "problem" {message,
// status, subcode, fatal}.

const MAX_TRACKS_PER_CALL = 64;
const CALL_ATTEMPTS = 5;
const DISCONNECTED_GRACE_MS = 7_000;

const backoffMs = (failures) => Math.min(250 * 2 ** (failures - 1), 10_000);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A reply in which the server refused the whole call. */
export class ApiError extends Error {
  constructor(status, code, description, subcode) {
    super(description || code || `The server answered with status ${status}.`);
    this.status = status;
    this.code = code;
    this.subcode = subcode; // why a token does not do, or an exchange of descriptions is out of order
  }
  /** The same call may succeed in a moment: not connected yet, too many calls, or the server is busy. */
  get isTransient() {
    return this.status === 425 || this.status === 429 || this.status >= 500;
  }
  /** The key does not allow what was asked for, or has run out. */
  get isRefusal() {
    return this.status === 401 || this.status === 403;
  }
  /** Where a new session is asked for: none will ever be had with this key, or of this app. */
  get isFatal() {
    return this.isRefusal || this.status === 404;
  }
}

/** The session was given up while a call was under way; the loop simply starts over. */
class StaleSession extends Error {}

const isRefusal = (error) => error instanceof ApiError && error.isRefusal;

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
  if (!response.ok || reply.errorCode) {
    throw new ApiError(response.status, reply.errorCode, reply.errorDescription, reply.errorSubcode);
  }
  return reply;
}

/** The events of a stream: what each is called, and its data. */
async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ; ) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (text + value).split("\n\n");
    text = events.pop();
    for (const event of events) {
      const field = (name) => event.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      if (field("data")) yield [field("event"), JSON.parse(field("data"))];
    }
  }
}

export class RingcastClient extends EventTarget {
  #base;
  #key;
  #session = null; // { id, pc, spares, events }
  #local = new Map(); // trackName -> { trackName, track, encodings, transceiver, isLive }
  #remote = new Map(); // "sessionId trackName" -> { sessionId, trackName, transceiver, failures, retryAt }
  #channels = []; // data channels to open: { name, policy, request, resolve, reject }
  #leaving = []; // transceivers nobody wants any more
  #loop = null; // the running loop, if any
  #hasWork = false;
  #oneByOne = false; // something in a call was refused: until all is done, each is asked for alone
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

  /** A call of the API that is none of a session, such as those about stages. */
  call(method, path, body) {
    return callApi(`${this.#base}/${path}`, { method, key: this.#key, body });
  }

  /** Calls `hear(type, data)` for each server-sent event of a path, also after interruptions, until what it returns is called. */
  listen(path, hear) {
    const end = new AbortController();
    this.#follow(path, hear, end.signal);
    return () => end.abort();
  }

  async #follow(path, hear, signal) {
    for (let failures = 1; !signal.aborted && !this.#isClosed; failures += 1) {
      try {
        const response = await fetch(`${this.#base}/${path}`, { headers: { Authorization: `Bearer ${this.#key}` }, signal });
        if (response.ok) failures = 0;
        for await (const [type, data] of response.ok ? eventsOf(response.body) : []) hear(type, data);
      } catch {
        if (signal.aborted) return;
      }
      await pause(backoffMs(failures + 1));
    }
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
        if (!this.#hasWork) this.#oneByOne = false;
      } catch (error) {
        if (this.#isClosed) return;
        this.#hasWork = true;
        if (error instanceof StaleSession) continue;
        if (error instanceof ApiError && error.isFatal) {
          for (const { reject } of this.#channels.splice(0)) reject(error);
          this.#emit("problem", { message: error.message, status: error.status, subcode: error.subcode, fatal: true });
          this.close();
          return;
        }
        // Where an exchange broke in the middle, nobody knows what the other side took: a new session is
        // the one state both agree on.
        this.#failures += 1;
        this.#emit("problem", { message: error.message, status: error.status, subcode: error.subcode, fatal: false });
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
    const session = { id: sessionId, pc, spares: [], heeded: new WeakSet() };
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
      if (pc.connectionState === "connected") {
        this.#setState("connected");
        this.#awaitGoodbye(session);
      }
      if (pc.connectionState === "failed") this.#restart();
      if (pc.connectionState === "disconnected") {
        graceTimer = setTimeout(() => {
          if (this.#session === session && pc.connectionState !== "connected") this.#restart();
        }, DISCONNECTED_GRACE_MS);
      }
    });
  }

  /**
   * A server that ends a session says so by DTLS. Browsers show that at the transport alone: `connectionState` stays as it
   * is until the connectivity checks have failed for long.
   */
  #awaitGoodbye(session) {
    const { pc, heeded } = session;
    const present = () => pc.getTransceivers().map(({ sender, receiver }) => sender.transport ?? receiver.transport).find(Boolean) ?? pc.sctp?.transport;
    const transport = present();
    if (!transport || heeded.has(transport)) return;
    heeded.add(transport);
    transport.addEventListener("statechange", async () => {
      // A transport that gives way to another one closes too.
      await pause(0);
      if (transport.state === "closed" && this.#session === session && present() === transport) this.#restart();
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

  // ---- the kinds of negotiation ---------------------------------------------------------------------------

  #batch(entries) {
    return entries.slice(0, this.#oneByOne ? 1 : MAX_TRACKS_PER_CALL);
  }

  /**
   * Makes a call for `entries`. If it is refused, which is for one of them and for all, each is asked for alone;
   * what is refused alone goes to `giveUp`, and nothing else ends. Resolves with nothing if it was refused.
   */
  async #callFor(entries, giveUp, call) {
    try {
      return await call();
    } catch (error) {
      if (!isRefusal(error)) throw error;
      if (entries.length > 1) this.#oneByOne = true;
      else giveUp(entries[0], error);
      this.#hasWork = true;
      return undefined;
    }
  }

  /** Push: we offer, the server answers in the same call. */
  async #pushNew(session) {
    const entries = this.#batch([...this.#local.values()].filter((entry) => !entry.transceiver));
    if (entries.length === 0) return;
    const { pc } = session;
    for (const entry of entries) {
      entry.transceiver = await this.#senderFor(session, entry);
    }
    await pc.setLocalDescription();
    const body = {
      sessionDescription: { type: "offer", sdp: pc.localDescription.sdp },
      tracks: entries.map(({ trackName, transceiver }) => ({ location: "local", mid: transceiver.mid, trackName })),
    };
    const giveUp = (entry, error) => this.#giveUpLocal(entry, error);
    const reply = await this.#callFor(entries, giveUp, () => this.#callSession(session, "POST", "tracks/new", body));
    if (!reply) {
      await pc.setLocalDescription({ type: "rollback" });
      for (const entry of entries) this.#spare(session, entry);
      return;
    }
    await pc.setRemoteDescription(reply.sessionDescription);
    for (const entry of entries) {
      const result = reply.tracks.find((item) => item.mid === entry.transceiver.mid);
      if (!result || result.errorCode) {
        this.#giveUpLocal(entry, new ApiError(200, result?.errorCode, result?.errorDescription));
        this.#abandon(entry);
        continue;
      }
      entry.isLive = true;
      if (this.#local.get(entry.trackName) === entry) this.#emit("published", { trackName: entry.trackName, mid: result.mid });
      else this.#abandon(entry);
    }
    this.#hasWork = true; // more than one call's worth may be waiting
  }

  /** A section to send in: one that a refused call has left, or a new one. */
  async #senderFor(session, { track, encodings }) {
    const isFree = (transceiver) => !encodings && transceiver.receiver.track.kind === track.kind;
    const spare = session.spares.findIndex(isFree);
    if (spare < 0) return session.pc.addTransceiver(track, { direction: "sendonly", ...(encodings ? { sendEncodings: encodings } : {}) });
    const [transceiver] = session.spares.splice(spare, 1);
    await transceiver.sender.replaceTrack(track);
    transceiver.direction = "sendonly";
    return transceiver;
  }

  /** Keeps the section of a refused call for another track: to stop one that was never agreed on breaks Chromium's next offer. */
  #spare(session, entry) {
    const { transceiver } = entry;
    entry.transceiver = null;
    transceiver.direction = "inactive";
    transceiver.sender.replaceTrack(null);
    if (!entry.encodings) session.spares.push(transceiver);
  }

  #giveUpLocal(entry, error) {
    if (this.#local.get(entry.trackName) !== entry) return;
    this.#local.delete(entry.trackName);
    this.#emit("refused", { trackName: entry.trackName, error });
  }

  #giveUpRemote({ sessionId, trackName }, error) {
    if (this.#remote.delete(`${sessionId} ${trackName}`)) this.#emit("refused", { sessionId, trackName, error });
  }

  /** Pull: we name the tracks, the server offers, our answer goes to `renegotiate`. */
  async #pullNew(session) {
    const isDue = (entry) => !entry.transceiver && entry.retryAt <= performance.now();
    const entries = this.#batch([...this.#remote.values()].filter(isDue));
    if (entries.length === 0) return;
    const { pc } = session;
    const tracks = entries.map(({ sessionId, trackName, simulcast }) => ({ location: "remote", sessionId, trackName, simulcast }));
    const giveUp = (entry, error) => this.#giveUpRemote(entry, error);
    const reply = await this.#callFor(entries, giveUp, () => this.#callSession(session, "POST", "tracks/new", { tracks }));
    if (!reply) return;
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
    const wanted = this.#batch(this.#channels);
    this.#channels = this.#channels.slice(wanted.length);
    this.#hasWork = true;
    try {
      await this.#establish(session);
      const own = wanted.filter(({ request }) => request.location === "local");
      const others = wanted.filter(({ request }) => request.location === "remote");
      for (const group of [own, others].filter(({ length }) => length > 0)) await this.#openGroup(session, group);
    } catch (error) {
      for (const { reject } of wanted) reject(error);
      if (!isRefusal(error)) throw error;
    }
  }

  async #establish(session) {
    if (session.events) return;
    const { pc } = session;
    const events = pc.createDataChannel("server-events");
    await pc.setLocalDescription();
    try {
      const reply = await this.#callSession(session, "POST", "datachannels/establish", {
        dataChannel: { location: "remote", dataChannelName: "server-events" },
        sessionDescription: { type: "offer", sdp: pc.localDescription.sdp },
      });
      await pc.setRemoteDescription(reply.sessionDescription);
    } catch (error) {
      if (isRefusal(error)) await pc.setLocalDescription({ type: "rollback" });
      events.close();
      throw error;
    }
    session.events = events;
  }

  /** Opens channels of one kind; when the call is refused, each of them alone. */
  async #openGroup(session, group) {
    let reply;
    try {
      const dataChannels = group.map(({ request }) => request);
      reply = await this.#callSession(session, "POST", "datachannels/new", { dataChannels });
    } catch (error) {
      if (!isRefusal(error)) throw error;
      if (group.length === 1) group[0].reject(error);
      else for (const one of group) await this.#openGroup(session, [one]);
      return;
    }
    group.forEach(({ name, policy, resolve, reject }, index) => {
      const result = reply.dataChannels[index];
      if (result.errorCode) reject(new ApiError(200, result.errorCode, result.errorDescription));
      else resolve(session.pc.createDataChannel(name, { ...policy, negotiated: true, id: result.id }));
    });
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
      await this.#callSession(session, "PUT", "tracks/close", { tracks, force: true }).catch((error) => {
        if (!isRefusal(error)) throw error;
      });
      return;
    }
    for (const transceiver of leaving) transceiver.stop();
    await pc.setLocalDescription();
    const sessionDescription = { type: "offer", sdp: pc.localDescription.sdp };
    try {
      const reply = await this.#callSession(session, "PUT", "tracks/close", { tracks, force: false, sessionDescription });
      await pc.setRemoteDescription(reply.sessionDescription);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      // They are silent on our side; the next offer that is taken says so.
      await pc.setLocalDescription({ type: "rollback" });
    }
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
