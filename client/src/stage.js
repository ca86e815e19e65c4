// A stage: of many people, all are heard and the loudest few are seen.
//
// Sound of everybody is received, pictures only in `size` places. A place that changes hands is told so by tracks/update:
// its section and its MediaStreamTrack stay, so nothing is negotiated, whoever speaks.

import { BehaviorSubject } from "rxjs";

/** How much of a new reading enters the smoothed level. */
const SMOOTHING = 0.3;
/** How many times as loud as the quietest on the stage somebody has to be to take that place. */
const LOUDER = 2;
/** Levels below are silence: nobody takes a place by it. */
const SILENCE = 0.005;

/**
 * Which member takes whose place, or null. `levels` maps members to smoothed levels, `seated` are those on the stage.
 * One place changes hands at a time, and only for somebody clearly louder, so that two who talk do not take turns.
 */
export function nextChange(levels, seated) {
  const level = (member) => levels.get(member) ?? 0;
  const waiting = [...levels.keys()].filter((member) => !seated.includes(member));
  if (waiting.length === 0 || seated.length === 0) return null;
  const loudest = waiting.reduce((best, member) => (level(member) > level(best) ? member : best));
  const quietest = seated.reduce((best, member) => (level(member) < level(best) ? member : best));
  const isLouder = level(loudest) > SILENCE && level(loudest) > LOUDER * level(quietest);
  return isLouder ? { leaves: quietest, enters: loudest } : null;
}

export class Stage {
  #client;
  #size;
  #hold;
  #members = new Map(); // sessionId -> { sessionId, audio, video, player, level }
  #seats = []; // { member: sessionId, track, since }
  #timer;
  #isBusy = false;

  /** Who is seen, in the order of the places: a list of { sessionId, trackName, track, level }. */
  seats$ = new BehaviorSubject([]);

  /** `size`: how many are seen. `every`: milliseconds between two looks. `hold`: milliseconds that a place is kept at least. */
  constructor(client, { size = 4, every = 200, hold = 1_500 } = {}) {
    this.#client = client;
    this.#size = size;
    this.#hold = hold;
    this.#timer = setInterval(() => this.#look(), every);
  }

  /** Somebody who may come on the stage: names of the tracks that its session publishes. */
  async add({ sessionId, audio, video }) {
    if (this.#members.has(sessionId)) return;
    const member = { sessionId, audio, video, level: 0, player: null };
    this.#members.set(sessionId, member);
    const seated = this.#seats.length < this.#size ? this.#sit(member) : null;
    const track = await this.#client.subscribeToTrack({ sessionId, trackName: audio });
    // Without a player a browser does not decode the sound, and so does not know its level.
    member.player = Object.assign(new Audio(), { srcObject: new MediaStream([track]), autoplay: true });
    member.player.play().catch(() => {});
    if (!this.#members.has(sessionId)) this.#silence(member);
    await seated;
  }

  /** Somebody who has gone. */
  remove(sessionId) {
    const member = this.#members.get(sessionId);
    if (!member) return;
    this.#members.delete(sessionId);
    this.#silence(member);
    const seat = this.#seats.find((one) => one.member === sessionId);
    if (!seat) return;
    this.#seats.splice(this.#seats.indexOf(seat), 1);
    this.#client.unsubscribeFromTrack({ sessionId, trackName: member.video });
    const waiting = [...this.#members.values()].filter((one) => !this.#isSeated(one.sessionId));
    const next = waiting.sort((one, other) => other.level - one.level)[0];
    this.#show();
    if (next) this.#sit(next);
  }

  /** The smoothed level of a member, 0 to 1. */
  levelOf(sessionId) {
    return this.#members.get(sessionId)?.level ?? 0;
  }

  close() {
    clearInterval(this.#timer);
    for (const sessionId of [...this.#members.keys()]) {
      const member = this.#members.get(sessionId);
      this.#silence(member);
      if (this.#isSeated(sessionId)) this.#client.unsubscribeFromTrack({ sessionId, trackName: member.video });
    }
    this.#members.clear();
    this.#seats = [];
    this.#show();
  }

  #isSeated(sessionId) {
    return this.#seats.some(({ member }) => member === sessionId);
  }

  async #sit(member) {
    const seat = { member: member.sessionId, track: null, since: performance.now() };
    this.#seats.push(seat);
    seat.track = await this.#client.subscribeToTrack({ sessionId: member.sessionId, trackName: member.video });
    this.#show();
  }

  #silence(member) {
    if (member.player) member.player.srcObject = null;
    this.#client.unsubscribeFromTrack({ sessionId: member.sessionId, trackName: member.audio });
  }

  async #look() {
    for (const member of this.#members.values()) {
      const receiver = this.#client.receiverOf({ sessionId: member.sessionId, trackName: member.audio });
      const heard = receiver?.getSynchronizationSources?.()[0]?.audioLevel ?? 0;
      member.level += SMOOTHING * (heard - member.level);
    }
    if (this.#isBusy) return;
    const now = performance.now();
    const settled = this.#seats.filter(({ track, since }) => track && now - since >= this.#hold);
    const busy = this.#seats.filter((seat) => !settled.includes(seat)).map(({ member }) => member);
    const candidates = [...this.#members.values()].filter(({ sessionId }) => !busy.includes(sessionId));
    const levels = new Map(candidates.map(({ sessionId, level }) => [sessionId, level]));
    const change = nextChange(levels, settled.map(({ member }) => member));
    if (!change) return;
    this.#isBusy = true;
    try {
      const [from, to] = [this.#members.get(change.leaves), this.#members.get(change.enters)];
      await this.#client.switchTrack({ sessionId: from.sessionId, trackName: from.video }, { sessionId: to.sessionId, trackName: to.video });
      const seat = this.#seats.find(({ member }) => member === from.sessionId);
      if (seat) Object.assign(seat, { member: to.sessionId, since: performance.now() });
      this.#show();
    } catch {
      // The picture cannot be had at present; the next look tries again, or finds somebody else.
    } finally {
      this.#isBusy = false;
    }
  }

  #show() {
    const seats = this.#seats.filter(({ track }) => track);
    this.seats$.next(
      seats.map(({ member, track }) => {
        const { video, level } = this.#members.get(member) ?? {};
        return { sessionId: member, trackName: video, track, level };
      }),
    );
  }
}
