// Publishers and players from npm, unmodified, used as their own documentation says. Each resolves with its connection
// and with what the tests do to it; the tracks of a player are those that its page would show.

import { WHIPClient as BinbatPublisher } from "@binbat/whip-whep/whip.js";
import { WHEPClient as BinbatPlayer } from "@binbat/whip-whep/whep.js";
import { WebRTCPlayer } from "@eyevinn/webrtc-player";
import { WHIPClient as EyevinnPublisher } from "@eyevinn/whip-web-client";

export const publishers = {
  async eyevinn(url, token, stream) {
    const client = new EyevinnPublisher({ endpoint: url, opts: { authkey: token } });
    await client.setIceServersFromEndpoint();
    await client.ingest(stream);
    const location = await client.getResourceUrl();
    return { pc: () => client.peer, location, trickles: () => client.supportTrickleIce(), stop: () => client.destroy() };
  },

  async binbat(url, token, stream) {
    const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    stream.getTracks().forEach((track) => pc.addTransceiver(track, { direction: "sendonly", streams: [stream] }));
    const client = new BinbatPublisher();
    await client.publish(pc, url, token);
    return { pc: () => pc, location: client.resourceURL.href, restart: () => client.restart(), stop: () => client.stop() };
  },
};

export const players = {
  async eyevinn(url, token) {
    const video = document.body.appendChild(document.createElement("video"));
    Object.assign(video, { muted: true, autoplay: true });
    const player = new WebRTCPlayer({ video, type: "whep", iceServers: [] });
    // Its second argument is the whole header.
    await player.load(new URL(url), `Bearer ${token}`);
    return { pc: () => player.peer, tracks: () => video.srcObject?.getTracks() ?? [], stop: () => player.unload() };
  },

  async binbat(url, token) {
    const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    for (const kind of ["video", "audio"]) pc.addTransceiver(kind, { direction: "recvonly" });
    const tracks = [];
    pc.addEventListener("track", ({ track }) => tracks.push(track));
    const client = new BinbatPlayer();
    // It opens the stream of events by itself, some time after it plays.
    const told = [];
    Object.defineProperty(client, "eventSource", {
      set(source) {
        for (const event of ["active", "inactive", "layers", "viewercount"]) {
          source.addEventListener(event, ({ data }) => told.push({ event, ...JSON.parse(data) }));
        }
      },
    });
    await client.view(pc, url, token);
    return {
      pc: () => pc,
      tracks: () => tracks,
      selectLayer: (layer) => client.selectLayer(layer),
      told,
      restart: () => client.restart(),
      stop: () => client.stop(),
    };
  },
};
