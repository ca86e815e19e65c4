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
  call(method: string, path: string, body?: unknown): Promise<unknown>;
  listen(path: string, hear: (type: string, data: any) => void): () => void;
  publishData(name: string, options?: DataOptions): Promise<RTCDataChannel>;
  subscribeToData(subscription: DataSubscription): Promise<RTCDataChannel>;
  closeData(channel: RTCDataChannel): Promise<void>;
  close(): void;
}

/** Names of the tracks by which somebody takes part in a stage: at least one of them. */
export interface StageTracks {
  /** Name of its sound. */
  audio?: string;
  /** Name of its picture. */
  video?: string;
}
export interface Member extends StageTracks {
  sessionId: string;
}
export interface Seat {
  /** From 1. */
  seat: number;
  sessionId: string;
  /** Absent while nothing is seen of who sits there. */
  trackName?: string;
  track: MediaStreamTrack;
  level: number;
}

/** All members are heard, those who spoke last are seen. */
export class Stage {
  constructor(client: Ringcast, options: { name: string; size?: number; hear?: boolean });
  readonly name: string;
  readonly ready: Promise<void>;
  readonly seats$: BehaviorSubject<Seat[]>;
  readonly members$: BehaviorSubject<Member[]>;
  readonly speaker$: BehaviorSubject<string | null>;
  join(tracks: StageTracks): Promise<void>;
  leave(): Promise<void>;
  levelOf(sessionId: string): number;
  close(): void;
}

/** How loud a track is. */
export class LevelMeter {
  constructor(track: MediaStreamTrack, options?: { context?: AudioContext });
  readonly level: number;
  close(): void;
}
