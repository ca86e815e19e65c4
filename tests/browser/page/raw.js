// A client that speaks the HTTP API directly, for what partytracks never does.

export class RawClient {
  constructor({ base, token, extraConfig = {}, keepLoopback = true }) {
    Object.assign(this, { base, token, extraConfig, keepLoopback });
    this.log = [];
    this.queue = Promise.resolve();
  }

  async api(method, path, body) {
    const response = await fetch(`${this.base}/${path}`, {
      method,
      headers: { Authorization: `Bearer ${this.token}`, "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    let reply;
    try {
      reply = JSON.parse(text);
    } catch {
      reply = { notJson: text };
    }
    this.log.push({ method, path, body, status: response.status, reply });
    return { status: response.status, reply };
  }

  async good(method, path, body) {
    const { status, reply } = await this.api(method, path, body);
    if (status >= 300 || reply.errorCode) throw new Error(`${method} ${path} -> ${status} ${JSON.stringify(reply)}`);
    return reply;
  }

  /** One exchange at a time per session. */
  inTurn(work) {
    const result = this.queue.then(work);
    this.queue = result.catch(() => {});
    return result;
  }

  async open() {
    const { sessionId } = await this.good("POST", "sessions/new");
    this.sessionId = sessionId;
    this.pc = new RTCPeerConnection({ bundlePolicy: "max-bundle", ...this.extraConfig });
    return sessionId;
  }

  session(method, path, body) {
    return this.good(method, `sessions/${this.sessionId}/${path}`, body);
  }

  /** Pushes [{name, track, encodings, transceiver?}] in one offer; `mid` comes back in each. */
  push(items) {
    return this.inTurn(async () => {
      for (const item of items) {
        item.transceiver ??= this.pc.addTransceiver(item.track, {
          direction: "sendonly",
          ...(item.encodings ? { sendEncodings: item.encodings } : {}),
        });
        item.onTransceiver?.(item.transceiver);
      }
      await this.pc.setLocalDescription(await this.pc.createOffer());
      const reply = await this.session("POST", "tracks/new", {
        sessionDescription: { type: "offer", sdp: this.pc.localDescription.sdp },
        tracks: items.map(({ name, transceiver }) => ({ location: "local", mid: transceiver.mid, trackName: name })),
      });
      await this.pc.setRemoteDescription(reply.sessionDescription);
      return reply;
    });
  }

  /** Pulls [{sessionId, trackName, simulcast?}] by the server's offer. Returns the transceivers. */
  pull(tracks, onTransceiver) {
    return this.inTurn(async () => {
      const reply = await this.session("POST", "tracks/new", { tracks: tracks.map((track) => ({ location: "remote", ...track })) });
      const bad = reply.tracks.find((track) => track.errorCode);
      if (bad) throw new Error(`pull: ${JSON.stringify(bad)}`);
      if (reply.requiresImmediateRenegotiation) {
        await this.pc.setRemoteDescription(reply.sessionDescription);
        const found = this.find(reply.tracks);
        if (onTransceiver) found.forEach(onTransceiver);
        await this.pc.setLocalDescription(await this.pc.createAnswer());
        await this.session("PUT", "renegotiate", { sessionDescription: { type: "answer", sdp: this.pc.localDescription.sdp } });
      }
      return this.find(reply.tracks);
    });
  }

  find(results) {
    return results.map((result) => this.pc.getTransceivers().find((transceiver) => transceiver.mid === result.mid));
  }

  /** Closes by our offer: the m-lines are free again. */
  closeByOffer(transceivers) {
    return this.inTurn(async () => {
      const tracks = transceivers.map(({ mid }) => ({ mid }));
      transceivers.forEach((transceiver) => transceiver.stop());
      await this.pc.setLocalDescription(await this.pc.createOffer());
      const reply = await this.session("PUT", "tracks/close", {
        tracks,
        force: false,
        sessionDescription: { type: "offer", sdp: this.pc.localDescription.sdp },
      });
      await this.pc.setRemoteDescription(reply.sessionDescription);
      return reply;
    });
  }

  closeByForce(transceivers) {
    return this.inTurn(() => this.session("PUT", "tracks/close", { tracks: transceivers.map(({ mid }) => ({ mid })), force: true }));
  }

  /** A new ufrag and password, carried by `renegotiate` or by a repeated push. */
  restartIce(repeatedPush = null) {
    return this.inTurn(async () => {
      this.pc.restartIce();
      await this.pc.setLocalDescription(await this.pc.createOffer());
      const sessionDescription = { type: "offer", sdp: this.pc.localDescription.sdp };
      const reply = repeatedPush
        ? await this.session("POST", "tracks/new", {
            sessionDescription,
            tracks: [{ location: "local", mid: repeatedPush.transceiver.mid, trackName: repeatedPush.name }],
          })
        : await this.session("PUT", "renegotiate", { sessionDescription });
      await this.pc.setRemoteDescription(reply.sessionDescription);
    });
  }

  close() {
    this.pc?.close();
  }
}
