// A client of data channels in a page, on the plain API: what tests of several browsers share.

import { until } from "./until.js";

/** Runs in the page: the peers by name, and what a test may ask of them. */
function install() {
  if (window.data) return;
  const peers = {};
  const hash = async (data) => {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : new Uint8Array(data);
    let sum = 2166136261;
    for (const byte of bytes) sum = Math.imul(sum ^ byte, 16777619) >>> 0;
    return { text: typeof data === "string", length: bytes.length, sum, content: typeof data === "string" && data.length < 100 ? data : null };
  };
  const made = (size, seed) => Uint8Array.from({ length: size }, (_, index) => (index * 31 + seed) & 255);
  window.data = {
    async open(name, { base, token, how }) {
      const pc = new RTCPeerConnection();
      const peer = (peers[name] = { pc, channels: {}, got: {}, closed: {} });
      peer.api = async (method, path, body) => {
        const reply = await fetch(`${base}/${path}`, {
          method, headers: { Authorization: `Bearer ${token}` }, body: body && JSON.stringify(body),
        });
        return { status: reply.status, ...(await reply.json()) };
      };
      peer.session = (await peer.api("POST", "sessions/new")).sessionId;
      peer.call = (method, path, body) => peer.api(method, `sessions/${peer.session}/${path}`, body);
      pc.ondatachannel = ({ channel }) => window.data.keep(peer, channel.label, channel);
      const request = { dataChannel: { location: "remote", dataChannelName: "server-events" } };
      if (how === "server") {
        const reply = await peer.call("POST", "datachannels/establish", request);
        await pc.setRemoteDescription(reply.sessionDescription);
        await pc.setLocalDescription();
        await peer.call("PUT", "renegotiate", { sessionDescription: { type: "answer", sdp: pc.localDescription.sdp } });
        return { session: peer.session, reply };
      }
      window.data.keep(peer, "server-events", pc.createDataChannel("server-events"));
      await pc.setLocalDescription();
      const reply = await peer.call("POST", "datachannels/establish", { ...request, sessionDescription: { type: "offer", sdp: pc.localDescription.sdp } });
      await pc.setRemoteDescription(reply.sessionDescription);
      return { session: peer.session, reply };
    },
    keep(peer, key, channel) {
      channel.binaryType = "arraybuffer";
      peer.channels[key] = channel;
      peer.got[key] = [];
      channel.onmessage = async ({ data }) => {
        const at = peer.got[key].push(null) - 1;
        peer.got[key][at] = await hash(data);
      };
      channel.onclose = () => (peer.closed[key] = true);
    },
    call: (name, ...args) => peers[name].call(...args),
    create(name, key, options) {
      const peer = peers[name];
      window.data.keep(peer, key, peer.pc.createDataChannel(key, options));
    },
    state: (name, key) => peers[name].channels[key]?.readyState,
    id: (name, key) => peers[name].channels[key]?.id,
    connection: (name) => peers[name].pc.connectionState,
    got: (name, key) => peers[name].got[key],
    isClosed: (name, key) => peers[name].closed[key] === true,
    send: (name, key, text) => peers[name].channels[key].send(text),
    sendBytes(name, key, size, seed) {
      const bytes = made(size, seed);
      peers[name].channels[key].send(bytes);
      return hash(bytes.buffer);
    },
    async flood(name, key, count, size) {
      const channel = peers[name].channels[key];
      const bytes = made(size, 1);
      for (let index = 0; index < count; index += 1) {
        while (channel.bufferedAmount > 1 << 20) await new Promise((resolve) => setTimeout(resolve, 5));
        channel.send(bytes);
      }
    },
    close(name) {
      peers[name]?.pc.close();
      delete peers[name];
    },
  };
}

let count = 0;

export class DataPeer {
  static async open(page, server, how = "client") {
    await page.evaluate(install);
    const peer = new DataPeer();
    count += 1;
    Object.assign(peer, { page, name: `peer${count}` });
    const opened = await peer.run("open", { base: server.base, token: server.secret, how });
    return Object.assign(peer, opened);
  }

  run(fn, ...args) {
    return this.page.evaluate(([fn, args]) => window.data[fn](...args), [fn, [this.name, ...args]]);
  }

  async item(path, channel, method = "POST") {
    const reply = await this.run("call", method, `datachannels/${path}`, { dataChannels: [channel] });
    return reply.dataChannels[0];
  }

  /** Asks for a channel and makes it; `policy` is for both. */
  async channel(wish, { key = wish.dataChannelName, policy = {} } = {}) {
    const item = await this.item("new", { ...wish, ...policy });
    if (item.errorCode) throw new Error(JSON.stringify(item));
    await this.run("create", key, { negotiated: true, id: item.id, ...policy });
    return item.id;
  }

  publish(name, policy) {
    return this.channel({ location: "local", dataChannelName: name }, { policy });
  }

  subscribe(publisher, name, { policy, ...more } = {}) {
    return this.channel({ location: "remote", sessionId: publisher.session, dataChannelName: name, ...more }, { policy });
  }

  async ready(key) {
    await until(`${this.name} to have ${key} open`, async () => (await this.run("state", key)) === "open");
    return this;
  }

  /** Waits until both ends of a channel carry messages: also the server's. */
  async active(key, id) {
    await this.ready(key);
    await until(`${key} to be active`, async () => {
      const { dataChannels } = await this.run("call", "GET", "");
      const channel = dataChannels.find((channel) => channel.id === id);
      return { done: channel?.status === "active", seen: dataChannels };
    });
  }

  async got(key, count) {
    let all;
    await until(`${this.name} to get ${count} on ${key}`, async () => {
      all = await this.run("got", key);
      return { done: all.length >= count && all.every(Boolean), seen: { length: all.length, last: all.at(-1) } };
    });
    return all;
  }

  async texts(key, count) {
    return (await this.got(key, count)).map((message) => message.content);
  }
}
