// Clients that are no browsers: each a process that says what it does as lines of JSON, until its input ends.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { until } from "./until.js";

/** Registers the end of what is started and returns the function that starts `command` with `args`. */
export function useOutside({ afterEach }, what, command) {
  const running = new Set();
  afterEach(() => Promise.all([...running].map((client) => client.stop())));
  return (...args) => {
    const client = new Outside(what, command, args.map(String), () => running.delete(client));
    running.add(client);
    return client;
  };
}

class Outside {
  lines = [];
  complaint = "";

  constructor(what, [command, ...before], args, onStop) {
    Object.assign(this, { what, onStop });
    this.child = spawn(command, [...before, ...args]);
    createInterface({ input: this.child.stdout }).on("line", (line) => this.lines.push(JSON.parse(line)));
    this.child.stderr.on("data", (chunk) => (this.complaint = (this.complaint + chunk).slice(-4_000)));
  }

  /** Waits for a line that passes `check`, and resolves with the last one that does. */
  line(what, check, ms = 20_000) {
    return until(`${this.what} to ${what}`, () => {
      const { exitCode, signalCode } = this.child;
      if (exitCode !== null || signalCode !== null) {
        throw Object.assign(new Error(`${this.what} ended by ${exitCode ?? signalCode}: ${this.complaint}`), { isFinal: true });
      }
      const found = this.lines.findLast(check);
      const seen = { states: this.told("state"), last: this.lines.slice(-3), complaint: this.complaint.slice(-500) };
      return { done: Boolean(found), seen, value: found };
    }, { ms });
  }

  /** All that it has said of something so far. */
  told(of) {
    return this.lines.filter((line) => line[of] !== undefined).map((line) => line[of]);
  }

  connected(ms) {
    return this.line("connect", (line) => line.state === "connected", ms);
  }

  /** The three thirds of the picture are red, green and blue: picture 8 of the kit. */
  async expectRedGreenBlue(frames = 20) {
    const { thirds } = await this.line(`see ${frames} frames`, (line) => line.kind === "video" && line.frames >= frames, 30_000);
    thirds.forEach((rgb, index) => assert.equal(rgb.indexOf(Math.max(...rgb)), index, `third ${index} is ${rgb}`));
  }

  async expectTone(wanted, frames = 150) {
    const { hz } = await this.line(`hear ${frames} frames`, (line) => line.kind === "audio" && line.frames >= frames, 30_000);
    assert.ok(Math.abs(hz - wanted) < 12, `${this.what} hears ${hz} Hz, not ${wanted}`);
  }

  say(line) {
    this.child.stdin.write(`${JSON.stringify(line)}\n`);
  }

  async stop() {
    this.onStop();
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.stdin.end();
    const hardly = setTimeout(() => this.child.kill("SIGKILL"), 3_000);
    await ended;
    clearTimeout(hardly);
  }
}
