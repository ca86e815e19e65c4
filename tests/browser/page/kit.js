// Everything the tests do inside a browser page, as functions on `window.kit` that take and return plain values.
// One page holds any number of peers; each is one unmodified partytracks client, one RawClient, one PlainClient or one of
// the publishers and players from npm.

import { PartyTracks } from "partytracks/client";
import { BehaviorSubject, filter, firstValueFrom, map, switchMap } from "rxjs";
import { direct, scalabilityModes } from "./direct.js";
import { FrameWatch, Playback, Voice, makeSource, receivedFigures } from "./media.js";
import { players, publishers } from "./players.js";
import { RawClient } from "./raw.js";
import { PlainClient } from "./whip.js";
import * as ringcast from "../../../client/src/index.js";

// The package as applications import it, and sources for it, for tests that are written as a page would be.
window.ringcast = ringcast;
window.makeSource = makeSource;
Object.assign(window, { FrameWatch, Playback, Voice });

const peers = new Map();
const errors = [];
addEventListener("unhandledrejection", (event) => errors.push(String(event.reason?.stack ?? event.reason)));
addEventListener("error", (event) => errors.push(String(event.message)));

const peer = (name) => {
  if (!peers.has(name)) throw new Error(`no peer ${name}`);
  return peers.get(name);
};
const sent = (name, label) => peer(name).sent.get(label);
const received = (name, label) => {
  const item = peer(name).received.get(label);
  if (!item) throw new Error(`${name} pulls no ${label}`);
  return item;
};

/** A new peer that knows WHIP and WHEP and nothing else. */
function plain(name) {
  const client = new PlainClient();
  const entry = { client, raw: true, sent: new Map(), received: new Map(), pc: () => client.pc };
  peers.set(name, entry);
  return entry;
}

function play(item, pc, track) {
  item.pc = pc;
  if (item.playback?.track === track) return;
  item.playback?.close();
  item.playback = new Playback(track);
  item.arrivals = (item.arrivals ?? 0) + 1;
}

/** Makes a codec the first choice of a sender; the others stay behind it, since some codecs wrap another one, or go. */
function prefer(transceiver, name, alone = false) {
  const { codecs } = RTCRtpSender.getCapabilities(transceiver.sender.track.kind);
  const isWanted = ({ mimeType }) => mimeType.toLowerCase().endsWith(`/${name.toLowerCase()}`);
  if (!codecs.some(isWanted)) throw new Error(`this browser does not send ${name}`);
  const others = codecs.filter((codec) => !isWanted(codec) && (!alone || codec.mimeType === "video/rtx"));
  transceiver.setCodecPreferences([...codecs.filter(isWanted), ...others]);
}

/** Takes a codec out of what a transceiver receives. */
function renounce(transceiver, name) {
  const { codecs } = RTCRtpReceiver.getCapabilities(transceiver.receiver.track.kind);
  transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => !mimeType.toLowerCase().endsWith(`/${name}`)));
}

/** XORs every payload byte but the first few, which codec-aware parts of the browser itself read. */
function scramble(streams) {
  const transform = new TransformStream({
    transform(frame, controller) {
      const bytes = new Uint8Array(frame.data);
      for (let i = 10; i < bytes.length; i += 1) bytes[i] ^= 0xa5;
      frame.data = bytes.buffer;
      kit.scrambledFrames += 1;
      controller.enqueue(frame);
    },
  });
  streams.readable.pipeThrough(transform).pipeTo(streams.writable).catch(() => {});
}

const kit = {
  scrambledFrames: 0,
  errors: () => errors.splice(0),

  // ---- peers ----

  async open(name, { base, token, raw = false, extraConfig }) {
    const common = { raw, sent: new Map(), received: new Map(), sessions: [] };
    if (raw) {
      const client = new RawClient({ base, token, extraConfig });
      peers.set(name, { ...common, client, pc: () => client.pc });
      return client.open();
    }
    const client = new PartyTracks({ prefix: base, headers: new Headers({ Authorization: `Bearer ${token}` }) });
    let session = null;
    const entry = { ...common, client, pc: () => session?.peerConnection };
    peers.set(name, entry);
    // Held for the life of the peer: partytracks closes the connection with its last subscriber.
    entry.hold = client.session$.subscribe((next) => {
      session = next;
      entry.sessions.push(next.sessionId);
    });
    return null;
  },

  /** Sends what `spec` asks for to another connection of this page; what arrives is pulled as "video". */
  async direct(name, spec) {
    const source = await makeSource(spec);
    const setUp = (transceiver) => prefer(transceiver, spec.codec, spec.alone);
    const client = await direct(source.track, { encodings: spec.encodings, setUp });
    const item = {};
    peers.set(name, { client, raw: true, sent: new Map([["video", { source, sender: client.sender }]]), received: new Map([["video", item]]), pc: () => client });
    play(item, client.to, client.track);
  },

  /** Which of `modes` this browser sends in `codec`. */
  async scalabilityModes(codec, modes) {
    const source = await makeSource({ kind: "picture", identity: 0 });
    const taken = await scalabilityModes(source.track, modes, (transceiver) => prefer(transceiver, codec, true));
    source.stop();
    return taken;
  },

  // ---- WHIP and WHEP ----

  /** Publishes what `specs` ask for, by WHIP. */
  async whip(name, url, token, specs) {
    const entry = plain(name);
    const sources = await Promise.all(specs.map(makeSource));
    sources.forEach((source) => entry.sent.set(source.track.kind, { source }));
    const items = sources.map(({ track }, index) => ({ track, encodings: specs[index].encodings }));
    entry.client.add(items).forEach((transceiver, index) => {
      if (specs[index].codec) prefer(transceiver, specs[index].codec, specs[index].alone);
    });
    return entry.client.offer(url, token);
  },

  /** Plays by WHEP; what arrives is pulled as "video" and "audio". */
  async whep(name, url, token) {
    const { client, received } = plain(name);
    client.ask();
    const resource = await client.offer(url, token);
    for (const { receiver } of client.pc.getTransceivers()) {
      const item = {};
      play(item, client.pc, receiver.track);
      received.set(receiver.track.kind, item);
    }
    return resource;
  },

  /** Publishes by the client of that name from npm. */
  async publishBy(name, package_, url, token, specs) {
    const sources = await Promise.all(specs.map(makeSource));
    const client = await publishers[package_](url, token, new MediaStream(sources.map(({ track }) => track)));
    const sent = new Map(sources.map((source) => [source.track.kind, { source }]));
    peers.set(name, { client, raw: true, sent, received: new Map(), pc: client.pc });
    return { location: client.location };
  },

  /** Plays by the client of that name from npm; resolves when it has the tracks of `count` kinds. */
  async playBy(name, package_, url, token, count = 2) {
    const client = await players[package_](url, token);
    const received = new Map();
    peers.set(name, { client, raw: true, sent: new Map(), received, pc: client.pc });
    while (client.tracks().length < count) await new Promise((resolve) => setTimeout(resolve, 50));
    for (const track of client.tracks()) {
      const item = {};
      play(item, client.pc(), track);
      received.set(track.kind, item);
    }
  },

  /** Whether the server has taken every candidate of a publisher so far. */
  trickles: (name) => peer(name).client.trickles(),
  /** What the server has told a player. */
  told: (name) => peer(name).client.told,
  selectLayer: (name, layer) => peer(name).client.selectLayer(layer),
  restartBy: (name) => peer(name).client.restart(),
  /** Ends what it publishes or plays as its user would. */
  stopBy: (name) => peer(name).client.stop(),

  close(name) {
    const entry = peer(name);
    for (const label of [...entry.sent.keys()]) kit.unpush(name, label, { keepSource: false, quietly: true });
    for (const item of entry.received.values()) {
      item.subscription?.unsubscribe();
      item.playback?.close();
    }
    entry.hold?.unsubscribe();
    entry.pc()?.close();
    peers.delete(name);
  },

  sessions: (name) => (peer(name).raw ? [peer(name).client.sessionId] : peer(name).sessions),
  history: (name) => (peer(name).raw ? peer(name).client.log : peer(name).client.history.entries),
  state: (name) => {
    const pc = peer(name).pc();
    if (!pc) return null;
    const transports = pc.getTransceivers().map(({ sender, receiver }) => sender.transport ?? receiver.transport);
    const dtls = transports.filter(Boolean).map((transport) => transport.state);
    return { connection: pc.connectionState, ice: pc.iceConnectionState, signalling: pc.signalingState, dtls };
  },
  /** Notes from now on what the browser says of the connection, in order. */
  watchConnection(name) {
    const entry = peer(name);
    const pc = entry.pc();
    entry.said = [];
    const note = (what) => entry.said.push({ what, connection: pc.connectionState, ice: pc.iceConnectionState });
    pc.addEventListener("connectionstatechange", () => note("connection"));
    pc.addEventListener("iceconnectionstatechange", () => note("ice"));
    const [transport] = pc.getTransceivers().map(({ sender, receiver }) => sender.transport ?? receiver.transport).filter(Boolean);
    transport.addEventListener("statechange", () => note(`dtls ${transport.state}`));
  },
  said: (name) => peer(name).said,

  sdp: (name) => ({ local: peer(name).pc()?.localDescription?.sdp, remote: peer(name).pc()?.remoteDescription?.sdp }),

  /** What the sender reports of a pulled track have told. */
  async reported(name, label) {
    const item = received(name, label);
    const report = await item.pc.getStats(item.playback.track);
    const stats = [...report.values()];
    const inbound = stats.find(({ type }) => type === "inbound-rtp");
    const remote = stats.find(({ type }) => type === "remote-outbound-rtp");
    return { reports: remote?.reportsSent ?? 0, remote: remote?.remoteTimestamp ?? null, playout: inbound?.estimatedPlayoutTimestamp ?? null };
  },

  /** What the transport as a whole has received: for those who should receive nothing. */
  async inbound(name) {
    const pc = peer(name).pc();
    const stats = pc ? [...(await pc.getStats()).values()] : [];
    return stats
      .filter((stat) => stat.type === "inbound-rtp")
      .map(({ mid, kind, packetsReceived, framesDecoded }) => ({ mid, kind, packets: packetsReceived ?? 0, frames: framesDecoded ?? 0 }));
  },

  async selectedPair(name) {
    const report = await peer(name).pc().getStats();
    const transport = [...report.values()].find((stat) => stat.type === "transport");
    const pair = report.get(transport?.selectedCandidatePairId);
    if (!pair) return null;
    const local = report.get(pair.localCandidateId);
    const remote = report.get(pair.remoteCandidateId);
    return {
      localType: local.candidateType,
      local: `${local.address}:${local.port}`,
      remote: `${remote.address}:${remote.port}`,
      protocol: local.protocol,
      localUfrag: local.usernameFragment,
      remoteUfrag: remote.usernameFragment,
    };
  },

  // ---- sending ----

  /** Pushes and resolves with the metadata others pull by. */
  async push(name, label, spec) {
    const entry = peer(name);
    const source = await makeSource(spec);
    if (entry.raw) {
      const item = { name: label, track: source.track, encodings: spec.encodings, source };
      if (spec.scrambled) item.onTransceiver = ({ sender }) => scramble(sender.createEncodedStreams());
      if (spec.codec) item.onTransceiver = (transceiver) => prefer(transceiver, spec.codec, spec.alone);
      entry.sent.set(label, item);
      await entry.client.push([item]);
      return { location: "remote", sessionId: entry.client.sessionId, trackName: label };
    }
    const track$ = new BehaviorSubject(source.track);
    const options = spec.encodings ? { sendEncodings$: new BehaviorSubject(spec.encodings) } : {};
    const metadata$ = new BehaviorSubject(null);
    const subscription = entry.client.push(track$, options).subscribe((metadata) => metadata$.next(metadata));
    entry.sent.set(label, { source, track$, metadata$, subscription });
    return firstValueFrom(metadata$.pipe(filter(Boolean)));
  },

  /** Pushes many in one go; partytracks puts up to 32 of one turn into a call, a raw peer all of them. */
  async pushMany(name, specs) {
    const entry = peer(name);
    if (!entry.raw) return Promise.all(specs.map(({ label, ...spec }) => kit.push(name, label, spec)));
    const items = await Promise.all(
      specs.map(async ({ label, ...spec }) => {
        const source = await makeSource(spec);
        return { name: label, track: source.track, source };
      }),
    );
    items.forEach((item) => entry.sent.set(item.name, item));
    const reply = await entry.client.push(items);
    return reply.tracks.map((track) => ({ ...track, sessionId: entry.client.sessionId }));
  },

  metadata: (name, label) => sent(name, label).metadata$.value,

  /** Puts another source in the place of the present one on the same sender. */
  async replace(name, label, spec) {
    const item = sent(name, label);
    const former = item.source;
    item.source = await makeSource(spec);
    if (item.track$) item.track$.next(item.source.track);
    else await item.transceiver.sender.replaceTrack(item.source.track);
    former.stop();
  },

  enable: (name, label, isOn) => void (sent(name, label).source.track.enabled = isOn),

  async unpush(name, label, { keepSource = false, force = false, quietly = false } = {}) {
    const entry = peer(name);
    const item = entry.sent.get(label);
    entry.sent.delete(label);
    if (!entry.raw) item.subscription.unsubscribe();
    else if (!quietly) await entry.client[force ? "closeByForce" : "closeByOffer"]([item.transceiver]);
    if (!keepSource) item.source.stop();
  },

  /** Which layers of a sender are on, by rid. */
  active(name, label) {
    const { encodings } = sent(name, label).transceiver.sender.getParameters();
    return Object.fromEntries(encodings.map(({ rid, active }) => [rid, active]));
  },

  async sending(name, label) {
    const item = sent(name, label);
    const sender = item.transceiver?.sender ?? item.sender ?? peer(name).pc().getSenders().find((one) => one.track === item.source.track);
    const layers = {};
    for (const stat of (await sender.getStats()).values()) {
      if (stat.type !== "outbound-rtp") continue;
      const { rid = "", frameWidth = 0, framesEncoded = 0, nackCount = 0, retransmittedPacketsSent = 0, scalabilityMode: mode } = stat;
      const { pliCount = 0, firCount = 0, keyFramesEncoded: keyframes = 0 } = stat;
      const asked = { keyframes, asked: pliCount + firCount };
      layers[rid] = { mode, width: frameWidth, frames: framesEncoded, nacks: nackCount, retransmitted: retransmittedPacketsSent, ...asked };
    }
    return layers;
  },

  // ---- receiving ----

  /** Starts a pull and resolves with its first track; later ones (after a reconnection) replace it. */
  async pull(name, label, metadata, { rid, scrambled = false, without } = {}) {
    const entry = peer(name);
    const item = { arrivals: 0 };
    entry.received.set(label, item);
    if (entry.raw) {
      const track = { sessionId: metadata.sessionId, trackName: metadata.trackName, ...(rid ? { simulcast: { preferredRid: rid } } : {}) };
      const onTransceiver = (transceiver) => {
        if (scrambled) scramble(transceiver.receiver.createEncodedStreams());
        if (without) renounce(transceiver, without);
      };
      [item.transceiver] = await entry.client.pull([track], onTransceiver);
      play(item, entry.client.pc, item.transceiver.receiver.track);
      return item.transceiver.mid;
    }
    item.metadata$ = new BehaviorSubject(metadata);
    item.rid$ = new BehaviorSubject(rid);
    const pulled$ = entry.client.pull(item.metadata$, { simulcast: { preferredRid$: item.rid$ } });
    await new Promise((resolve, reject) => {
      item.subscription = pulled$.subscribe({
        next: (track) => {
          play(item, entry.pc(), track);
          resolve();
        },
        error: reject,
      });
    });
    return null;
  },

  /** Pulls many tracks in one call of a raw peer and resolves with their labels. */
  async pullMany(name, tracks) {
    const entry = peer(name);
    const wanted = tracks.map(({ sessionId, trackName }) => ({ sessionId, trackName }));
    const transceivers = await entry.client.pull(wanted);
    return transceivers.map((transceiver, index) => {
      const item = { transceiver };
      play(item, entry.client.pc, transceiver.receiver.track);
      entry.received.set(`many-${index}`, item);
      return `many-${index}`;
    });
  },

  /** Starts a pull that may have to wait, and returns at once. */
  beginPull(name, label, metadata) {
    kit.pull(name, label, metadata).catch((error) => errors.push(`pull ${label}: ${error}`));
  },

  repoint: (name, label, metadata) => void received(name, label).metadata$.next(metadata),
  prefer: (name, label, rid) => void received(name, label).rid$.next(rid),

  async unpull(name, label, { force = false } = {}) {
    const entry = peer(name);
    const item = received(name, label);
    entry.received.delete(label);
    item.subscription?.unsubscribe();
    if (entry.raw) await entry.client[force ? "closeByForce" : "closeByOffer"]([item.transceiver]);
    item.playback?.close();
  },

  /** What a pulled track looks or sounds like now. */
  async sample(name, label) {
    const item = received(name, label);
    if (!item.playback) return { arrivals: 0, frames: 0, packets: 0, energy: 0, picture: null };
    const { playback } = item;
    const figures = await receivedFigures(item.pc, playback.track);
    const isAudio = playback.track.kind === "audio";
    return {
      arrivals: item.arrivals,
      ended: playback.track.readyState,
      ...figures,
      ...(isAudio ? playback.tone() : { picture: playback.picture() }),
    };
  },

  // ---- raw peers only ----

  api: (name, method, path, body) => peer(name).client.api(method, path, body),
  restartIce: (name, label) => peer(name).client.restartIce(label ? { name: label, transceiver: sent(name, label).transceiver } : null),

  // ---- measures ----

  watchFrames(name, label) {
    const item = received(name, label);
    item.watch = new FrameWatch(item.playback.track);
  },

  endWatch: (name, label) => received(name, label).watch.end(),

  /** Milliseconds from the birth of a new client to its first decoded frame of `metadata`. */
  async connectionTime({ base, token }, metadata) {
    const began = performance.now();
    const client = new PartyTracks({ prefix: base, headers: new Headers({ Authorization: `Bearer ${token}` }) });
    const pulled$ = client.peerConnection$.pipe(
      switchMap((pc) => client.pull(new BehaviorSubject(metadata)).pipe(map((track) => ({ pc, track })))),
    );
    let subscription;
    const { pc, track } = await new Promise((resolve) => (subscription = pulled$.subscribe(resolve)));
    const playback = new Playback(track);
    while ((await receivedFigures(pc, track)).frames === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const took = performance.now() - began;
    playback.close();
    subscription.unsubscribe();
    return took;
  },

  microphones: async () =>
    (await navigator.mediaDevices.enumerateDevices()).filter((device) => device.kind === "audioinput").map(({ deviceId }) => deviceId),
};

window.kit = kit;
