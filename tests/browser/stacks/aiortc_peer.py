"""A WebRTC client that is no browser: aiortc, until its input ends. It prints a line for what it does and receives.

On the plain HTTP API, where each role may have a query for `sessions/new` behind it:
  aiortc_peer.py publish BASE SECRET RED GREEN BLUE HZ
  aiortc_peer.py view BASE SECRET SESSION NAME...
  aiortc_peer.py channels BASE SECRET SESSION NAME THEIRS
                 publishes the channel NAME, subscribes to THEIRS of SESSION; {"text": ...} and {"bytes": n} of its input
                 are sent
By WHIP and WHEP:
  aiortc_peer.py whip URL SECRET RED GREEN BLUE HZ
  aiortc_peer.py whep URL SECRET
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
from yarl import URL


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


def add_sources(pc, red, green, blue, hz):
    camera = pc.addTransceiver(Colour((int(red), int(green), int(blue))), "sendonly")
    return {camera: "camera", pc.addTransceiver(Tone(float(hz)), "sendonly"): "microphone"}


async def publish(api, pc, *source):
    session = (await api("POST", api.new_session))["sessionId"]
    names = add_sources(pc, *source)
    await pc.setLocalDescription(await pc.createOffer())
    tracks = [{"location": "local", "mid": one.mid, "trackName": name} for one, name in names.items()]
    reply = await api("POST", f"sessions/{session}/tracks/new", {"sessionDescription": description(pc), "tracks": tracks})
    await pc.setRemoteDescription(RTCSessionDescription(**reply["sessionDescription"]))
    say(sessionId=session, tracks=reply["tracks"])


async def view(api, pc, publisher, *names):
    session = (await api("POST", api.new_session))["sessionId"]
    # One call per track: the second one changes a connection that is up.
    for name in names:
        reply = await api("POST", f"sessions/{session}/tracks/new", {"tracks": [{"location": "remote", "sessionId": publisher, "trackName": name}]})
        if "errorCode" in reply["tracks"][0]:
            raise RuntimeError(f"pull {name}: {reply['tracks'][0]}")
        await pc.setRemoteDescription(RTCSessionDescription(**reply["sessionDescription"]))
        await pc.setLocalDescription(await pc.createAnswer())
        await api("PUT", f"sessions/{session}/renegotiate", {"sessionDescription": description(pc)})
    say(sessionId=session)


async def channels(api, pc, other, name, theirs):
    first = pc.createDataChannel("server-events")
    await pc.setLocalDescription(await pc.createOffer())
    reply = await api("POST", api.new_session, {"sessionDescription": description(pc)})
    await pc.setRemoteDescription(RTCSessionDescription(**reply["sessionDescription"]))
    session = reply["sessionId"]
    opened = asyncio.Event()
    first.on("open", opened.set)
    await opened.wait()
    made = []
    for wish in ({"location": "local"}, {"location": "remote", "sessionId": other}):
        wish["dataChannelName"] = theirs if "sessionId" in wish else name
        reply = await api("POST", f"sessions/{session}/datachannels/new", {"dataChannels": [wish]})
        channel = pc.createDataChannel(wish["dataChannelName"], negotiated=True, id=reply["dataChannels"][0]["id"])
        channel.on("message", lambda got: say(text=got) if isinstance(got, str) else say(bytes=len(got)))
        made.append(channel)
    say(sessionId=session, open=True)
    return made[0]


def send(channel, line):
    wish = json.loads(line)
    channel.send(wish["text"] if "text" in wish else bytes(wish["bytes"]))


async def by_offer(http, pc, url, secret):
    """The one exchange of WHIP and WHEP; returns the address of the resource."""
    await pc.setLocalDescription(await pc.createOffer())
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/sdp"}
    async with http.post(url, data=pc.localDescription.sdp, headers=headers) as response:
        answer = await response.text()
        if response.status != 201:
            raise RuntimeError(f"POST {url}: {response.status} {answer}")
        await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        return response.url.join(URL(response.headers["Location"]))


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


async def main(role, url, secret, *rest):
    async with aiohttp.ClientSession() as http:
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        pc.on("connectionstatechange", lambda: say(state=pc.connectionState))
        tasks = []
        pc.on("track", lambda track: tasks.append(asyncio.ensure_future(watch(track))))
        resource = channel = None
        if role == "whip":
            add_sources(pc, *rest)
            resource = await by_offer(http, pc, url, secret)
        elif role == "whep":
            for kind in ("video", "audio"):
                pc.addTransceiver(kind, "recvonly")
            resource = await by_offer(http, pc, url, secret)
        else:
            # "view?thirdparty=true" asks for a session by which the server calls us.
            role, mark, query = role.partition("?")
            work = {"publish": publish, "view": view, "channels": channels}[role]
            channel = await work(Api(http, url, secret, mark + query), pc, *rest)
        while line := await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
            send(channel, line)
        if resource:
            async with http.delete(resource, headers={"Authorization": f"Bearer {secret}"}) as response:
                response.raise_for_status()
        await pc.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
