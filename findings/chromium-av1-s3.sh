#!/bin/bash
# Chromium 156.0.8078.114 (Debian 12) stops sending AV1 after some frames in the scalable modes with three independent spatial layers.
#
# getCapabilities names S3T1 to S3T3h for AV1, setParameters takes them, and from 720p on they are what is sent (below, Chromium makes
# two layers of three). From then on a dozen frames are encoded, packets go on for two seconds, and then nothing comes any
# more: no error, no event, the sender says `active`. L3T3_KEY, S2T3 and VP9 in S3T3 go on. Between two connections of one page.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
npm install --prefix "$dir" --no-audit --no-fund --loglevel=error playwright-core@1.65.1 >/dev/null
cat >"$dir/shows.mjs" <<'END'
import { chromium } from "playwright-core";

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
console.log(`Chromium ${browser.version()}`);
const page = await browser.newPage();
for (const [codec, mode] of [["AV1", "L3T3_KEY"], ["AV1", "S2T3"], ["AV1", "S3T1"], ["AV1", "S3T3"], ["VP9", "S3T3"]]) {
  console.log(await page.evaluate(async ([codec, mode]) => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 1280, height: 720 });
    const context = canvas.getContext("2d");
    let drawn = 0;
    const painter = setInterval(() => {
      context.fillStyle = `hsl(${(drawn * 7) % 360} 80% 50%)`;
      context.fillRect(drawn % 900, 0, 300, 300);
      drawn += 1;
    }, 50);
    const [from, to] = [new RTCPeerConnection(), new RTCPeerConnection()];
    from.onicecandidate = ({ candidate }) => to.addIceCandidate(candidate);
    to.onicecandidate = ({ candidate }) => from.addIceCandidate(candidate);
    const [track] = canvas.captureStream(20).getVideoTracks();
    const transceiver = from.addTransceiver(track, { direction: "sendonly", sendEncodings: [{ scalabilityMode: mode }] });
    transceiver.setCodecPreferences(RTCRtpSender.getCapabilities("video").codecs.filter(({ mimeType }) => mimeType === `video/${codec}`));
    await from.setLocalDescription();
    await to.setRemoteDescription(from.localDescription);
    await to.setLocalDescription();
    await from.setRemoteDescription(to.localDescription);
    while (drawn < 240) await new Promise((resolve) => setTimeout(resolve, 200));
    const { framesEncoded, scalabilityMode } = [...(await from.getStats()).values()].find(({ type }) => type === "outbound-rtp");
    clearInterval(painter);
    from.close();
    to.close();
    return `${codec} ${mode}, sent as ${scalabilityMode}: ${framesEncoded >= 60 ? "goes on" : "has stopped"} when 240 pictures are drawn`;
  }, [codec, mode]));
}
await browser.close();
END
seen=$(node "$dir/shows.mjs")
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
Chromium 156.0.8078.114
AV1 L3T3_KEY, sent as L3T3_KEY: goes on when 240 pictures are drawn
AV1 S2T3, sent as S2T3: goes on when 240 pictures are drawn
AV1 S3T1, sent as S3T1: has stopped when 240 pictures are drawn
AV1 S3T3, sent as S3T3: has stopped when 240 pictures are drawn
VP9 S3T3, sent as S3T3: goes on when 240 pictures are drawn
SEEN
