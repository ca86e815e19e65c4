// A client that knows WHIP and WHEP and nothing else: one offer, one answer.

export class PlainClient {
  constructor() {
    this.pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    this.log = [];
  }

  /** Will send each `track` of `items`, in its `encodings` if it has any; their transceivers. */
  add(items) {
    const streams = [new MediaStream(items.map(({ track }) => track))];
    return items.map(({ track, encodings }) =>
      this.pc.addTransceiver(track, { direction: "sendonly", streams, ...(encodings ? { sendEncodings: encodings } : {}) }),
    );
  }

  /** Will receive picture and sound. */
  ask() {
    for (const kind of ["video", "audio"]) this.pc.addTransceiver(kind, { direction: "recvonly" });
  }

  /** Offers to `url`. Resolves with the address and version of the resource. */
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
