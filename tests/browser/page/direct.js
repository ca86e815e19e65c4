// Two connections of one page that are connected to each other: what the browser does without a server.

const connectBoth = async (from, to) => {
  for (const [one, other] of [[from, to], [to, from]]) {
    one.onicecandidate = ({ candidate }) => void other.addIceCandidate(candidate).catch(() => {});
  }
  await from.setLocalDescription(await from.createOffer());
  await to.setRemoteDescription(from.localDescription);
  await to.setLocalDescription(await to.createAnswer());
  await from.setRemoteDescription(to.localDescription);
};

/** Sends `track` from one connection to another. Resolves with both and with the track that arrives. */
export async function direct(track, { encodings, setUp }) {
  const [from, to] = [new RTCPeerConnection(), new RTCPeerConnection()];
  const transceiver = from.addTransceiver(track, { direction: "sendonly", ...(encodings ? { sendEncodings: encodings } : {}) });
  setUp?.(transceiver);
  await connectBoth(from, to);
  const close = () => [from, to].forEach((pc) => pc.close());
  return { from, to, sender: transceiver.sender, track: to.getReceivers()[0].track, close };
}

/** Which of `modes` the browser takes for a codec, once the codec is settled. */
export async function scalabilityModes(track, modes, setUp) {
  const { sender, close } = await direct(track, { setUp });
  const taken = [];
  for (const mode of modes) {
    const parameters = sender.getParameters();
    parameters.encodings[0].scalabilityMode = mode;
    try {
      await sender.setParameters(parameters);
      if (sender.getParameters().encodings[0].scalabilityMode === mode) taken.push(mode);
    } catch {
      // One that it does not know.
    }
  }
  close();
  return taken;
}
