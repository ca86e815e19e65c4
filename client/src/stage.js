// A stage: of many people, all are heard and the few who spoke last are seen.
//
// The server finds out who speaks, by the levels in the packets, and has a fixed number of seats: tracks that show whoever
// sits there. They change hands behind sections and MediaStreamTracks that stay, so nothing is negotiated, whoever speaks.

import { BehaviorSubject } from "rxjs";

const audible = (level) => 10 ** (level / 20);

export class Stage {
  #client;
  #path;
  #isHeard;
  #own = null; // { audio, video }: the names by which this client takes part
  #tracks = []; // of the seats, by their number
  #told = { seats: [], next: null };
  #levels = new Map(); // sessionId -> dBov
  #players = new Map(); // sessionId -> { audio, player }
  #endings = [];
  #isClosed = false;

  /** Who is seen, in the order of the seats: a list of { seat, sessionId, trackName, track, level }. */
  seats$ = new BehaviorSubject([]);
  /** All who take part: a list of { sessionId, audio, video }. */
  members$ = new BehaviorSubject([]);
  /** The sessionId of who speaks, or spoke last; null before anybody has. */
  speaker$ = new BehaviorSubject(null);

  /** `name`: the same for all who meet. `size`: how many seats it has, if it is new. `hear`: whether the others are played. */
  constructor(client, { name, size = 4, hear = true }) {
    this.#client = client;
    this.#path = `ext/stages/${encodeURIComponent(name)}`;
    this.name = name;
    this.#isHeard = hear;
    this.ready = this.#open(size);
  }

  async #open(size) {
    const { seats } = await this.#client.call("PUT", this.#path, { seats: size });
    if (this.#isClosed) return;
    this.#endings.push(this.#client.listen(`${this.#path}/events`, (type, data) => this.#hear(type, data)));
    const sessions = this.#client.sessionId$.subscribe((sessionId) => sessionId && this.#enter());
    this.#endings.push(() => sessions.unsubscribe());
    const watch = async (_, number) => {
      this.#tracks[number] = await this.#client.subscribeToTrack(this.#seat(number));
      this.#show();
    };
    await Promise.all(seats.map(watch));
  }

  /** Takes part with tracks that this client publishes, by their names; again by itself when the client has another session. */
  async join({ audio, video }) {
    this.#own = { audio, video };
    await this.ready;
    await this.#enter();
  }

  async leave() {
    this.#own = null;
    const { sessionId } = this.#client;
    if (sessionId) await this.#client.call("DELETE", `${this.#path}/members/${sessionId}`);
  }

  /** How loud a member is, 0 to 1. */
  levelOf(sessionId) {
    return audible(this.#levels.get(sessionId) ?? -127);
  }

  close() {
    this.#isClosed = true;
    if (this.#own) this.leave().catch(() => {});
    for (const end of this.#endings) end();
    for (const number of this.#tracks.keys()) this.#client.unsubscribeFromTrack(this.#seat(number));
    for (const sessionId of [...this.#players.keys()]) this.#silence(sessionId);
    this.#tracks = [];
    this.#show();
  }

  #seat(number) {
    return { sessionId: `stage:${this.name}`, trackName: `speaker-${number + 1}/video` };
  }

  /** A track is known to the server a moment after it is published, and with a new session all are published again. */
  async #enter() {
    for (let attempt = 0; this.#own && attempt < 20; attempt += 1) {
      const { sessionId } = this.#client;
      try {
        return sessionId && (await this.#client.call("PUT", `${this.#path}/members/${sessionId}`, this.#own));
      } catch (error) {
        if (error.status !== 406 || attempt === 19) throw error;
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
    }
  }

  #hear(type, data) {
    if (type === "seats") this.#told = data;
    if (type === "speaker") this.speaker$.next(data.sessionId);
    if (type === "levels") for (const [sessionId, level] of Object.entries(data.levels)) this.#levels.set(sessionId, level);
    if (type === "members") this.#follow(data.members);
    if (type === "seats" || type === "levels") this.#show();
  }

  #follow(members) {
    this.members$.next(members);
    if (!this.#isHeard) return;
    const others = members.filter(({ sessionId, audio }) => audio && sessionId !== this.#client.sessionId);
    for (const [sessionId, { audio }] of [...this.#players]) {
      if (!others.some((member) => member.sessionId === sessionId && member.audio === audio)) this.#silence(sessionId);
    }
    for (const member of others) if (!this.#players.has(member.sessionId)) this.#play(member);
  }

  async #play({ sessionId, audio }) {
    const player = Object.assign(new Audio(), { autoplay: true });
    this.#players.set(sessionId, { audio, player });
    const track = await this.#client.subscribeToTrack({ sessionId, trackName: audio });
    player.srcObject = new MediaStream([track]);
    player.play().catch(() => {});
  }

  #silence(sessionId) {
    const { audio, player } = this.#players.get(sessionId);
    this.#players.delete(sessionId);
    player.srcObject = null;
    this.#client.unsubscribeFromTrack({ sessionId, trackName: audio });
  }

  #show() {
    const seats = this.#told.seats.flatMap(({ seat, ...sits }, number) => {
      // Nobody sees itself: in its own seat it sees who would be next.
      const { sessionId, video } = (sits.sessionId === this.#client.sessionId ? this.#told.next : sits) ?? {};
      const track = this.#tracks[number];
      return sessionId && track ? [{ seat, sessionId, trackName: video, track, level: this.levelOf(sessionId) }] : [];
    });
    this.seats$.next(seats);
  }
}
