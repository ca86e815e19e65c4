import type { BehaviorSubject } from "rxjs";

export interface TrackId {
  sessionId: string;
  trackName: string;
}
export interface Simulcast {
  preferredRid?: string;
  priorityOrdering?: "none" | "asciibetical";
  ridNotAvailable?: "none" | "asciibetical";
}
export interface RemoteTrack extends TrackId {
  track: MediaStreamTrack;
  mid: string;
}
export type State = "idle" | "connecting" | "connected" | "reconnecting" | "closed";
export interface DataOptions {
  ordered?: boolean;
  maxRetransmits?: number;
  maxPacketLifeTime?: number;
}
export interface DataSubscription extends DataOptions {
  name: string;
  sessionId: string;
  canReply?: boolean;
  waitForAck?: boolean;
}

/** The client with promises and observables. */
export class Ringcast {
  constructor(options: {
    apiUrl: string;
    token?: string;
    onTrack?: (track: MediaStreamTrack, from: { id: string; trackName: string }) => void;
  });
  readonly localTracks$: BehaviorSubject<Map<string, MediaStreamTrack>>;
  readonly remoteTracks$: BehaviorSubject<RemoteTrack[]>;
  readonly state$: BehaviorSubject<State>;
  readonly sessionId$: BehaviorSubject<string | null>;
  readonly sessionId: string | null;
  readonly peerConnection: RTCPeerConnection | null;
  set token(token: string);
  getCamera(constraints?: MediaStreamConstraints): Promise<MediaStream>;
  getScreenshare(options?: DisplayMediaStreamOptions): Promise<MediaStream>;
  publishTrack(
    track: MediaStreamTrack,
    options?: { trackName?: string; encodings?: RTCRtpEncodingParameters[] },
  ): Promise<TrackId>;
  replaceTrack(trackName: string, track: MediaStreamTrack): Promise<void>;
  unpublishTrack(trackName: string): void;
  subscribeToTrack(track: TrackId & { simulcast?: Simulcast }): Promise<MediaStreamTrack>;
  unsubscribeFromTrack(track: TrackId): void;
  switchTrack(from: TrackId, to: TrackId): Promise<void>;
  receiverOf(track: TrackId): RTCRtpReceiver | undefined;
  publishData(name: string, options?: DataOptions): Promise<RTCDataChannel>;
  subscribeToData(subscription: DataSubscription): Promise<RTCDataChannel>;
  closeData(channel: RTCDataChannel): Promise<void>;
  close(): void;
}

export interface Member {
  sessionId: string;
  /** Name of its sound. */
  audio: string;
  /** Name of its picture. */
  video: string;
}
export interface Seat extends TrackId {
  track: MediaStreamTrack;
  level: number;
}

/** All members are heard, the loudest are seen. */
export class Stage {
  constructor(client: Ringcast, options?: { size?: number; every?: number; hold?: number });
  readonly seats$: BehaviorSubject<Seat[]>;
  add(member: Member): Promise<void>;
  remove(sessionId: string): void;
  levelOf(sessionId: string): number;
  close(): void;
}
export function nextChange(levels: Map<string, number>, seated: string[]): { leaves: string; enters: string } | null;

/** How loud a track is. */
export class LevelMeter {
  constructor(track: MediaStreamTrack, options?: { context?: AudioContext });
  readonly level: number;
  close(): void;
}

/** A reply in which the server refused a call. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string | undefined;
  readonly isTransient: boolean;
  readonly isFatal: boolean;
}

/** The same with events, one file without dependencies. */
export class RingcastClient extends EventTarget {
  constructor(options: { base: string; key: string });
  readonly sessionId: string | null;
  readonly peerConnection: RTCPeerConnection | null;
  readonly state: State;
  readonly publishedNames: string[];
  set key(key: string);
  publish(trackName: string, track: MediaStreamTrack, options?: { encodings?: RTCRtpEncodingParameters[] }): void;
  replaceTrack(trackName: string, track: MediaStreamTrack): Promise<void>;
  unpublish(trackName: string): void;
  subscribe(sessionId: string, trackName: string, options?: { simulcast?: Simulcast }): void;
  unsubscribe(sessionId: string, trackName: string): void;
  switchSource(from: TrackId, to: TrackId): Promise<void>;
  openDataChannel(name: string, options?: Partial<Omit<DataSubscription, "name">>): Promise<RTCDataChannel>;
  closeDataChannel(channel: RTCDataChannel): Promise<void>;
  close(): void;
}
