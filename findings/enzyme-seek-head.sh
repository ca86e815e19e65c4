#!/bin/bash
# enzyme 0.5.2 (PyPI) refuses each Matroska and WebM file without an index of its parts.
#
# SeekHead is optional (RFC 9559 5.1.1: none or up to two), and what writes a stream as it comes, such as MediaRecorder or
# a muxer into a pipe, cannot know the places that would stand in it. Info and tracks are at the start of the file all the same, where the
# library would find them: with a SeekHead that names them it reads the same file.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check enzyme==0.5.2

seen=$("$dir/venv/bin/python" - <<'END'
import io
import struct

import enzyme


def element(name, content):
    return bytes.fromhex(name) + struct.pack(">BI", 0x08, len(content)) + content


HEAD = element("1a45dfa3", element("4282", b"webm"))
INFO = element("1549a966", element("2ad7b1", b"\x0f\x42\x40") + element("4489", struct.pack(">d", 1000.0)))
TRACK = element("d7", b"\1") + element("73c5", b"\1") + element("83", b"\2") + element("86", b"A_OPUS")
AUDIO = element("e1", element("b5", struct.pack(">d", 48000.0)) + element("9f", b"\2"))
TRACKS = element("1654ae6b", element("ae", TRACK + AUDIO))


def seek(name, place):
    return element("4dbb", element("53ab", bytes.fromhex(name)) + element("53ac", struct.pack(">I", place)))


def index(length):
    return element("114d9b74", seek("1549a966", length) + seek("1654ae6b", length + len(INFO)))


for name, front in {"with a SeekHead": index(len(index(0))), "without": b""}.items():
    try:
        film = enzyme.MKV(io.BytesIO(HEAD + element("18538067", front + INFO + TRACKS)))
        print(f"{name}: {[track.codec_id for track in film.audio_tracks]}")
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {error}")
END
)
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
with a SeekHead: ['A_OPUS']
without: MalformedMKVError: No SeekHead found
SEEN
