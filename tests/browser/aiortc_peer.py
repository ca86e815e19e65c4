"""A WebRTC client that is no browser: aiortc on the plain HTTP API, as a publisher or as a viewer.

  aiortc_peer.py publish BASE SECRET RED GREEN BLUE HZ   prints {"sessionId": ...}, sends until its input ends
  aiortc_peer.py view BASE SECRET SESSION NAME...        prints a line for what it receives, until its input ends
"""

import asyncio
import fractions
import json
import sys

import aiohttp
import numpy
from aiortc import MediaStreamTrack, RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, VideoStreamTrack
from av import AudioFrame, VideoFrame


def say(**fields):
    print(json.dumps(fields), flush=True)


class Colour(VideoStreamTrack):
    """One colour with something moving in it."""

    def __init__(self, rgb):
        super().__init__()
        self.rgb = rgb
        self.count = 0

    async def recv(self):
        pts, time_base = await self.next_timestamp()
        image = numpy.empty((180, 320, 3), numpy.uint8)
        image[:] = self.rgb
        self.count += 1
        left = self.count * 5 % 290
        image[150:174, left : left + 24] = 128
        frame = VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = pts, time_base
        return frame


class Tone(MediaStreamTrack):
    """One sine tone, 20 ms a frame."""

    kind = "audio"
    rate = 48_000

    def __init__(self, hz):
        super().__init__()
        self.hz = hz
        self.position = 0
        self.start = None

    async def recv(self):
        loop = asyncio.get_running_loop()
        self.start = self.start or loop.time()
        await asyncio.sleep(max(0, self.start + self.position / self.rate - loop.time()))
        samples = numpy.arange(self.position, self.position + 960)
        wave = (numpy.sin(2 * numpy.pi * self.hz * samples / self.rate) * 12_000).astype(numpy.int16)
        frame = AudioFrame.from_ndarray(wave.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = self.rate, self.position, fractions.Fraction(1, self.rate)
        self.position += 960
        return frame


class Api:
    def __init__(self, http, base, secret, query):
        self.new_session = f"sessions/new{query}"
        self.http, self.base, self.headers = http, base, {"Authorization": f"Bearer {secret}"}

    async def __call__(self, method, path, body=None):
        async with self.http.request(method, f"{self.base}/{path}", json=body, headers=self.headers) as response:
            reply = await response.json(content_type=None)
            if response.status >= 300 or "errorCode" in reply:
                raise RuntimeError(f"{method} {path}: {response.status} {reply}")
            return reply


def description(pc):
    return {"type": pc.localDescription.type, "sdp": pc.localDescription.sdp}


async def publish(api, pc, red, green, blue, hz):
    session = (await api("POST", api.new_session))["sessionId"]
    names = {pc.addTransceiver(Colour((int(red), int(green), int(blue))), "sendonly"): "camera"}
    names[pc.addTransceiver(Tone(float(hz)), "sendonly")] = "microphone"
    await pc.setLocalDescription(await pc.createOffer())
    tracks = [{"location": "local", "mid": one.mid, "trackName": name} for one, name in names.items()]
    reply = await api("POST", f"sessions/{session}/tracks/new", {"sessionDescription": description(pc), "tracks": tracks})
    await pc.setRemoteDescription(RTCSessionDescription(**reply["sessionDescription"]))
    say(sessionId=session, tracks=reply["tracks"])


async def view(api, pc, publisher, *names):
    session = (await api("POST", api.new_session))["sessionId"]
    tasks = []
    pc.on("track", lambda track: tasks.append(asyncio.ensure_future(watch(track))))
    # One call per track: the second one changes a connection that is up.
    for name in names:
        reply = await api("POST", f"sessions/{session}/tracks/new", {"tracks": [{"location": "remote", "sessionId": publisher, "trackName": name}]})
        if "errorCode" in reply["tracks"][0]:
            raise RuntimeError(f"pull {name}: {reply['tracks'][0]}")
        await pc.setRemoteDescription(RTCSessionDescription(**reply["sessionDescription"]))
        await pc.setLocalDescription(await pc.createAnswer())
        await api("PUT", f"sessions/{session}/renegotiate", {"sessionDescription": description(pc)})
    say(sessionId=session)


async def watch(track):
    """Reports the colour in the middle of each third of the picture, or the loudest tone."""
    count, heard = 0, []
    while True:
        try:
            frame = await track.recv()
        except MediaStreamError:
            say(kind=track.kind, ended=True)
            return
        count += 1
        if track.kind == "video":
            image = frame.to_ndarray(format="rgb24")
            height, width = image.shape[:2]
            thirds = [[int(value) for value in image[height // 3, width * part // 6]] for part in (1, 3, 5)]
            say(kind="video", frames=count, width=width, thirds=thirds)
        else:
            samples = frame.to_ndarray().reshape(-1)[:: len(frame.layout.channels)].astype(float)
            heard = (heard + [samples])[-50:]
            if len(heard) == 50 and count % 25 == 0:
                spectrum = numpy.abs(numpy.fft.rfft(numpy.concatenate(heard)))
                peak = int(spectrum.argmax())
                say(kind="audio", frames=count, hz=peak * frame.sample_rate / sum(map(len, heard)), loud=float(spectrum[peak]))


async def main(role, base, secret, *rest):
    async with aiohttp.ClientSession() as http:
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        pc.on("connectionstatechange", lambda: say(state=pc.connectionState))
        # "view?thirdparty=true" asks for a session by which the server calls us.
        role, mark, query = role.partition("?")
        await {"publish": publish, "view": view}[role](Api(http, base, secret, mark + query), pc, *rest)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        await pc.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
