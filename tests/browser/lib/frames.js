// Encoded media for clients that bring no encoder: made by Chromium's WebCodecs.

/**
 * Runs in a page: resolves with a second of video of one colour and a second of a tone, as frames in base64. Each frame of
 * VP8 is a keyframe, and the tone has whole waves in a second, so that both may go round.
 */
async function encode({ colour, hz }) {
  const inBase64 = (chunk) => {
    const bytes = new Uint8Array(chunk.byteLength);
    chunk.copyTo(bytes);
    return btoa(String.fromCharCode(...bytes));
  };
  const encoder = (Kind, settings, out) => {
    const made = new Kind({ output: (chunk) => out.push(inBase64(chunk)), error: (error) => console.error(`${error}`) });
    made.configure(settings);
    return made;
  };
  const [video, audio] = [[], []];
  const [width, height] = [320, 180];
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const pen = canvas.getContext("2d");
  const pictures = encoder(VideoEncoder, { codec: "vp8", width, height, bitrate: 1_000_000 }, video);
  for (let at = 0; at < 15; at += 1) {
    pen.fillStyle = colour;
    pen.fillRect(0, 0, width, height);
    pen.fillStyle = "gray";
    pen.fillRect(at * 19, 150, 24, 24);
    const frame = new VideoFrame(canvas, { timestamp: (at * 1_000_000) / 15 });
    pictures.encode(frame, { keyFrame: true });
    frame.close();
  }
  await pictures.flush();
  const rate = 48_000;
  const samples = Float32Array.from({ length: rate }, (_, at) => Math.sin((2 * Math.PI * hz * at) / rate) * 0.4);
  const sound = encoder(AudioEncoder, { codec: "opus", sampleRate: rate, numberOfChannels: 1, bitrate: 64_000 }, audio);
  sound.encode(new AudioData({ format: "f32-planar", sampleRate: rate, numberOfFrames: rate, numberOfChannels: 1, timestamp: 0, data: samples }));
  await sound.flush();
  return { video, audio: audio.slice(0, 50) };
}

/** The colour of the kit's picture 0, and a tone of `hz`. */
export const encoded = (page, hz) => page.evaluate(encode, { colour: "#e12828", hz });
