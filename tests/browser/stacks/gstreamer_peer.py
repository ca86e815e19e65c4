"""A WebRTC client that is no browser: GStreamer's webrtcbin, until its input ends. It prints what it does and receives.

  gstreamer_peer.py whip URL SECRET CODEC 0xRRGGBB HZ    publishes one colour and one tone; CODEC is VP8, H264 or H264-high
  gstreamer_peer.py whep URL SECRET CODEC                plays

It needs Debian's own Python, for which the bindings are packaged.
"""

import json
import sys
import threading
import urllib.parse
import urllib.request
from array import array

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

CODECS = {
    "VP8": ("vp8enc deadline=1 keyframe-max-dist=60 ! rtpvp8pay", "VP8", 96),
    "H264": (
        "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=60 ! video/x-h264,profile=constrained-baseline"
        " ! rtph264pay config-interval=-1 aggregate-mode=zero-latency",
        "H264",
        97,
    ),
    # What x264 makes unless it is told otherwise; its fastest preset alone leaves out what makes High of it.
    "H264-high": (
        "x264enc tune=zerolatency speed-preset=superfast key-int-max=60 ! video/x-h264,profile=high"
        " ! rtph264pay config-interval=-1 aggregate-mode=zero-latency",
        "H264",
        97,
    ),
}
OPUS = "application/x-rtp,media=audio,encoding-name=OPUS,payload=98,clock-rate=48000"


def say(**fields):
    print(json.dumps(fields), flush=True)


def fail(why):
    """Ends the process, from whatever thread."""
    print(why, file=sys.stderr, flush=True)
    GLib.idle_add(sys.exit, 1)


class Client:
    def __init__(self, url, secret):
        self.url, self.headers = url, {"Authorization": f"Bearer {secret}"}
        self.resource = None

    def start(self, description):
        self.pipeline = Gst.Pipeline()
        self.bin = Gst.parse_bin_from_description(description, False)
        self.pipeline.add(self.bin)
        self.webrtc = self.pipeline.get_by_name("webrtc")
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", lambda _, message: fail(f"{message.parse_error()}"))
        self.webrtc.connect("notify::connection-state", self.tell_state)
        self.webrtc.connect("pad-added", self.play)
        self.webrtc.connect("on-negotiation-needed", self.make_offer)
        self.webrtc.connect("notify::ice-gathering-state", self.send_offer)
        return self.webrtc

    def go(self):
        """Makes the offer when all sources are known; it is sent when all candidates are in it."""
        self.pipeline.set_state(Gst.State.PLAYING)

    def make_offer(self, _):
        def made(promise):
            # The description lives as long as the reply that holds it.
            reply = promise.get_reply()
            offer = reply.get_value("offer")
            self.webrtc.emit("set-local-description", offer, Gst.Promise.new())

        self.webrtc.emit("create-offer", None, Gst.Promise.new_with_change_func(made))

    def tell_state(self, *_):
        say(state=self.webrtc.get_property("connection-state").value_nick)

    def send_offer(self, *_):
        if self.webrtc.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE and not self.resource:
            threading.Thread(target=self.exchange, daemon=True).start()

    def exchange(self):
        try:
            offer = self.webrtc.get_property("local-description").sdp.as_text()
            headers = {**self.headers, "Content-Type": "application/sdp"}
            with urllib.request.urlopen(urllib.request.Request(self.url, offer.encode(), headers)) as response:
                self.resource = urllib.parse.urljoin(self.url, response.headers["Location"])
                _, sdp = GstSdp.SDPMessage.new_from_text(response.read().decode())
            answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
            self.webrtc.emit("set-remote-description", answer, Gst.Promise.new())
        except urllib.error.HTTPError as error:
            fail(f"{error}: {error.read().decode()}")
        except Exception as error:  # noqa: BLE001
            fail(repr(error))

    def play(self, _, pad):
        if pad.direction != Gst.PadDirection.SRC:
            return
        kind = pad.get_current_caps().get_structure(0).get_string("media")
        raw = {
            "video": "videoconvert ! video/x-raw,format=RGB",
            "audio": "audioconvert ! audioresample ! audio/x-raw,format=S16LE,channels=1,rate=48000",
        }[kind]
        player = Gst.parse_bin_from_description(
            f"queue name=start ! decodebin ! {raw} ! appsink name=sink emit-signals=true sync=false max-buffers=5 drop=true",
            False,
        )
        player.add_pad(Gst.GhostPad.new("start", player.get_by_name("start").get_static_pad("sink")))
        player.get_by_name("sink").connect("new-sample", {"video": Watch().picture, "audio": Watch().sound}[kind])
        self.bin.add(player)
        player.sync_state_with_parent()
        pad.link(player.get_static_pad("start"))

    def stop(self):
        if self.resource:
            request = urllib.request.Request(self.resource, headers=self.headers, method="DELETE")
            urllib.request.urlopen(request).close()
        self.pipeline.set_state(Gst.State.NULL)


class Watch:
    """Reports the colour in the middle of each third of the picture, or the pitch."""

    def __init__(self):
        self.count = 0
        self.heard = array("h")

    def picture(self, sink):
        sample = sink.emit("pull-sample")
        caps = sample.get_caps().get_structure(0)
        width, height = caps.get_value("width"), caps.get_value("height")
        buffer = sample.get_buffer()
        data = buffer.extract_dup(0, buffer.get_size())
        stride = (width * 3 + 3) // 4 * 4
        thirds = [list(data[(at := height // 3 * stride + width * part // 6 * 3) : at + 3]) for part in (1, 3, 5)]
        self.count += 1
        say(kind="video", frames=self.count, width=width, thirds=thirds)
        return Gst.FlowReturn.OK

    def sound(self, sink):
        buffer = sink.emit("pull-sample").get_buffer()
        self.heard.frombytes(buffer.extract_dup(0, buffer.get_size()))
        self.count += 1
        if len(self.heard) >= 48_000:
            rising = sum(1 for before, now in zip(self.heard, self.heard[1:]) if before < 0 <= now)
            say(kind="audio", frames=self.count, hz=rising * 48_000 / len(self.heard))
            self.heard = array("h")
        return Gst.FlowReturn.OK


def whip(client, codec, colour, hz):
    encoder, name, payload = CODECS[codec]
    client.start(
        "webrtcbin name=webrtc bundle-policy=max-bundle"
        f" videotestsrc is-live=true pattern=solid-color foreground-color={int(colour, 16) | 0xFF000000}"
        f" ! video/x-raw,width=320,height=180,framerate=15/1 ! videoconvert ! queue ! {encoder}"
        f" ! application/x-rtp,media=video,encoding-name={name},payload={payload} ! webrtc."
        f" audiotestsrc is-live=true wave=sine freq={hz} ! audioconvert ! audioresample ! queue ! opusenc ! rtpopuspay"
        f" ! {OPUS} ! webrtc."
    )
    client.go()


def whep(client, codec):
    _, name, payload = CODECS[codec]
    webrtc = client.start("webrtcbin name=webrtc bundle-policy=max-bundle")
    fmtp = ",packetization-mode=(string)1,profile-level-id=(string)42e01f" if codec == "H264" else ""
    video = f"application/x-rtp,media=video,encoding-name={name},payload={payload},clock-rate=90000{fmtp}"
    for caps in (video, OPUS):
        webrtc.emit("add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, Gst.Caps.from_string(caps))
    client.go()


def main(role, url, secret, *rest):
    Gst.init(None)
    loop = GLib.MainLoop()
    client = Client(url, secret)
    {"whip": whip, "whep": whep}[role](client, *rest)

    def wait():
        sys.stdin.read()
        loop.quit()

    threading.Thread(target=wait, daemon=True).start()
    loop.run()
    client.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
