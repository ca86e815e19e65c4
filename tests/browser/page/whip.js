// A client that knows WHIP and WHEP and nothing else: one offer, one answer.

export class PlainClient {
  constructor() {
    this.pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    this.log = [];
  }

  /** Sends `tracks` to the stream at `url`. Resolves with the address and version of the resource. */
  publish(url, token, tracks) {
    const stream = new MediaStream(tracks);
    tracks.forEach((track) => this.pc.addTransceiver(track, { direction: "sendonly", streams: [stream] }));
    return this.offer(url, token);
  }

  /** Asks for picture and sound of the stream at `url`. */
  view(url, token) {
    for (const kind of ["video", "audio"]) this.pc.addTransceiver(kind, { direction: "recvonly" });
    return this.offer(url, token);
  }

  async offer(url, token) {
    await this.pc.setLocalDescription(await this.pc.createOffer());
    const response = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/sdp", Authorization: `Bearer ${token}` },
      body: this.pc.localDescription.sdp,
    });
    const text = await response.text();
    this.log.push({ url, status: response.status, text });
    if (response.status !== 201) throw new Error(`POST ${url}: ${response.status} ${text}`);
    await this.pc.setRemoteDescription({ type: "answer", sdp: text });
    return { location: response.headers.get("Location"), etag: response.headers.get("ETag") };
  }
}
