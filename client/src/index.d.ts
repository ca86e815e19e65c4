import type { BehaviorSubject } from "rxjs";
import type { DataOptions, DataSubscription, Simulcast, State, TrackId } from "./session.js";

export * from "./session.js";

export interface RemoteTrack extends TrackId {
  track: MediaStreamTrack;
  mid: string;
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
