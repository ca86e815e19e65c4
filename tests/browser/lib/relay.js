// A relay of datagrams between browsers and the server, at an address that the server names to them: whoever stands there
// can copy what a browser sends, and send it again from wherever it likes.

import dgram from "node:dgram";

/** Where browsers reach the server by way of the relay, and where it is. */
export const RELAY = "127.0.0.9";
export const BEHIND = "127.0.0.1";

const bound = (address, port = 0) =>
  new Promise((resolve, reject) => {
    const socket = dgram.createSocket({ type: "udp4", recvBufferSize: 1 << 20 }).once("error", reject);
    socket.bind(port, address, () => resolve(socket));
  });

/** What a datagram is, by its first byte (RFC 7983 7). */
export const isCheck = (datagram) => datagram[0] === 0 && datagram[1] === 1;
export const isMedia = (datagram) => datagram[0] >= 128 && datagram[0] < 192;
/** A packet of media, and no report (RFC 5761 4). */
const isPacket = (datagram) => isMedia(datagram) && (datagram[1] < 192 || datagram[1] >= 224);

/** One address of a browser: what it has sent of checks, what it got of media, and the socket by which the server knows it. */
class Side {
  checks = [];
  received = 0;
  /** Numbers of packets that were left out between those that came. */
  missing = 0;
  newest = new Map();

  constructor(port, socket) {
    Object.assign(this, { port, socket });
  }

  /** Takes note of what the server sends. */
  note(datagram) {
    if (!isPacket(datagram)) return;
    this.received += 1;
    const [sequence, source] = [datagram.readUInt16BE(2), datagram.readUInt32BE(8)];
    const step = (sequence - (this.newest.get(source) ?? sequence - 1)) & 0xffff;
    if (step < 0x8000) {
      this.newest.set(source, sequence);
      this.missing += Math.max(step - 1, 0);
    }
  }

  /** Sends the server something that this address's owner has not sent. */
  send(datagram) {
    this.socket.send(datagram, this.port, BEHIND);
  }
}

export class Relay {
  sides = new Map();

  /** Passes on what comes to `port`, under the same number. */
  static async start(port) {
    const relay = Object.assign(new Relay(), { port, front: await bound(RELAY, port) });
    relay.front.on("message", (datagram, from) => void relay.pass(datagram, from));
    return relay;
  }

  async pass(datagram, from) {
    const name = `${from.address}:${from.port}`;
    // Two datagrams of a new address may come before its socket is there.
    if (!this.sides.has(name)) this.sides.set(name, this.open(from));
    const side = await this.sides.get(name);
    if (isCheck(datagram)) side.checks.push(Buffer.from(datagram));
    side.send(datagram);
  }

  async open(from) {
    const side = new Side(this.port, await bound(BEHIND));
    side.socket.on("message", (datagram) => {
      side.note(datagram);
      this.front.send(datagram, from.port, from.address);
    });
    return side;
  }

  /** The address by which most media comes to one of those that `work` has brought. */
  async sideOf(work) {
    const before = new Set(this.sides.keys());
    const value = await work();
    const all = await Promise.all([...this.sides].filter(([name]) => !before.has(name)).map(([, side]) => side));
    return { value, side: all.reduce((one, other) => (other.received > one.received ? other : one)) };
  }

  async stop() {
    this.front.close();
    for (const side of this.sides.values()) (await side).socket.close();
  }
}

/** A socket of somebody else, and what the server has sent there. */
export async function stranger(port) {
  const side = new Side(port, await bound(BEHIND));
  side.answers = [];
  side.socket.on("message", (datagram) => side.answers.push(datagram));
  return side;
}
