export interface TrackId {
  sessionId: string;
  trackName: string;
}
export interface Simulcast {
  preferredRid?: string;
  priorityOrdering?: "none" | "asciibetical";
  ridNotAvailable?: "none" | "asciibetical";
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
/** What the events of RingcastClient carry as `detail`. */
export interface EventDetails {
  state: { state: State };
  session: { sessionId: string };
  published: { trackName: string; mid: string };
  track: TrackId & { track: MediaStreamTrack; mid: string };
  /** With a `sessionId` it is a subscription that was refused. */
  refused: { trackName: string; sessionId?: string; error: ApiError };
  problem: { message: string; status?: number; subcode?: string; fatal: boolean };
}

/** A reply in which the server refused a call. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string | undefined;
  readonly subcode: string | undefined;
  readonly isTransient: boolean;
  readonly isRefusal: boolean;
  readonly isFatal: boolean;
}

/** Calls over one session that renews itself, told by events. */
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
  call(method: string, path: string, body?: unknown): Promise<unknown>;
  listen(path: string, hear: (type: string, data: any) => void): () => void;
  switchSource(from: TrackId, to: TrackId): Promise<void>;
  openDataChannel(name: string, options?: Partial<Omit<DataSubscription, "name">>): Promise<RTCDataChannel>;
  closeDataChannel(channel: RTCDataChannel): Promise<void>;
  close(): void;
  addEventListener<K extends keyof EventDetails>(
    type: K,
    listener: (event: CustomEvent<EventDetails[K]>) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(type: string, callback: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
}

/** Makes one call of the API. */
export function callApi(
  url: string,
  options: { method: string; key: string; body?: unknown; keepalive?: boolean },
): Promise<any>;
