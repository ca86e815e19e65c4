"""ffmpeg as a WHIP encoder of one colour and one tone, until its input ends. It prints a line when it is connected.

  ffmpeg_peer.py program URL SECRET 0xRRGGBB HZ [OPTION...]    ffmpeg itself, with these options of its muxer
  ffmpeg_peer.py library URL SECRET 0xRRGGBB HZ [OPTION...]    its libraries, as PyAV has them
"""

import fractions
import json
import subprocess
import sys
import threading
import time

import av
import imageio_ffmpeg
import numpy

FPS, RATE = 15, 48_000
ENCODER = {"preset": "ultrafast", "tune": "zerolatency", "bf": "0", "g": str(FPS)}


def say(**fields):
    print(json.dumps(fields), flush=True)


def in_pairs(options):
    return {name.removeprefix("-"): value for name, value in zip(options[::2], options[1::2])}


def program(url, secret, colour, hz, *options):
    encoder = [text for name, value in ENCODER.items() for text in (f"-{name}", value)]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostats"]
    command += ["-re", "-f", "lavfi", "-i", f"color={colour}:size=320x180:rate={FPS}"]
    command += ["-re", "-f", "lavfi", "-i", f"sine=frequency={hz}:sample_rate={RATE}"]
    command += ["-c:v", "libx264", "-pix_fmt", "yuv420p", *encoder, "-c:a", "libopus", "-ac", "2"]
    command += ["-f", "whip", "-authorization", secret, *options, url]
    ffmpeg = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def listen():
        for line in ffmpeg.stderr:
            print(line, end="", file=sys.stderr, flush=True)
            if line.startswith("Output #0, whip"):
                say(state="connected")

    listener = threading.Thread(target=listen)
    listener.start()
    threading.Thread(target=lambda: (sys.stdin.read(), ffmpeg.communicate("q")), daemon=True).start()
    listener.join()
    sys.exit(ffmpeg.wait())


def library(url, secret, colour, hz, *options):
    av.logging.set_level(av.logging.INFO)
    whip = av.open(url, "w", format="whip", options={"authorization": secret, **in_pairs(options)})
    video = whip.add_stream("libx264", rate=FPS, options=ENCODER)
    video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
    audio = whip.add_stream("libopus", rate=RATE)
    audio.layout = "stereo"
    whip.start_encoding()
    say(state="connected")
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    picture = numpy.empty((180, 320, 3), numpy.uint8)
    picture[:] = list(int(colour, 16).to_bytes(3, "big"))
    start, count, position = time.monotonic(), 0, 0
    while not ended.wait(max(0, start + count / FPS - time.monotonic())):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = count, fractions.Fraction(1, FPS)
        whip.mux(video.encode(frame))
        count += 1
        while position < count * RATE / FPS:
            wave = numpy.sin(2 * numpy.pi * float(hz) * numpy.arange(position, position + 960) / RATE) * 12_000
            sound = av.AudioFrame.from_ndarray(wave.astype(numpy.int16).repeat(2).reshape(1, -1), format="s16", layout="stereo")
            sound.sample_rate, sound.pts, sound.time_base = RATE, position, fractions.Fraction(1, RATE)
            whip.mux(audio.encode(sound))
            position += 960
    whip.close()


if __name__ == "__main__":
    {"program": program, "library": library}[sys.argv[1]](*sys.argv[2:])
