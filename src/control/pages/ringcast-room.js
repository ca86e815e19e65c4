// Who is in a room and which tracks they send. The media API knows sessions and tracks only; this small board
// beside it lets the members of a room find each other. Use your own directory if you have one.

import { callApi } from "./ringcast-client.js";

const ANNOUNCE_EVERY_MS = 3_000; // the board forgets a member after 15 s of silence
const READ_EVERY_MS = 1_000;

/** Events: "members" {members} after each reading, "problem" {message, status, subcode}, "recovered". */
export class RingcastRoom extends EventTarget {
  #base;
  #key;
  #memberId;
  #describe;
  #timers = [];
  #isAnnouncing = false;
  #isReading = false;
  #isStale = false;
  #isOpen = false;
  #hasProblem = false;

  /** `describe` returns what the others should know now: {name, sessionId, tracks}, or null for nothing yet. */
  constructor({ base, key, room, memberId, describe }) {
    super();
    this.#base = `${base.replace(/\/$/, "")}/ext/rooms/${encodeURIComponent(room)}`;
    this.#key = key;
    this.#memberId = memberId;
    this.#describe = describe;
  }

  open() {
    this.#isOpen = true;
    this.#timers = [
      setInterval(() => this.announce(), ANNOUNCE_EVERY_MS),
      setInterval(() => this.#read(), READ_EVERY_MS),
    ];
    this.announce();
    this.#read();
  }

  /** Tells the board at once what has changed. */
  async announce() {
    if (!this.#isOpen) return;
    this.#isStale = true;
    if (this.#isAnnouncing) return;
    this.#isAnnouncing = true;
    try {
      // A change made while a call is under way goes out in the next one, never before it.
      while (this.#isStale && this.#isOpen) {
        this.#isStale = false;
        const body = this.#describe();
        if (body) await callApi(this.#memberUrl, { method: "PUT", key: this.#key, body });
      }
    } catch (error) {
      this.#report(error);
    } finally {
      this.#isAnnouncing = false;
    }
  }

  async #read() {
    if (this.#isReading || !this.#isOpen) return;
    this.#isReading = true;
    try {
      const { members } = await callApi(this.#base, { method: "GET", key: this.#key });
      if (!this.#isOpen) return;
      if (this.#hasProblem) this.dispatchEvent(new CustomEvent("recovered"));
      this.#hasProblem = false;
      const others = members.filter((member) => member.id !== this.#memberId);
      this.dispatchEvent(new CustomEvent("members", { detail: { members: others } }));
    } catch (error) {
      this.#report(error);
    } finally {
      this.#isReading = false;
    }
  }

  /** Leaves the board. `keepalive` lets the call outlive the page. */
  close() {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#timers.forEach(clearInterval);
    callApi(this.#memberUrl, { method: "DELETE", key: this.#key, keepalive: true }).catch(() => {});
  }

  get #memberUrl() {
    return `${this.#base}/members/${encodeURIComponent(this.#memberId)}`;
  }

  #report(error) {
    if (!this.#isOpen) return;
    this.#hasProblem = true;
    this.dispatchEvent(new CustomEvent("problem", { detail: { message: error.message, status: error.status, subcode: error.subcode } }));
  }
}
