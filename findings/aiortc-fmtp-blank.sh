#!/bin/bash
# aiortc 1.16.0 (PyPI) takes the blank behind a semicolon of an fmtp line for a part of the parameter's name.
#
# RFC 7587 7 itself writes Opus parameters with `; ` between them. Here the second one is then called ' useinbandfec', and it
# stays text where the same parameter without the blank is a number; a trailing semicolon makes a parameter without a name.
# Whoever asks for 'useinbandfec', or compares H.264 profiles this way, finds nothing and goes on with the default.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check aiortc==1.16.0

seen=$("$dir/venv/bin/python" - <<'END'
from aiortc.sdp import SessionDescription

HEAD = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=rtpmap:111 opus/48000/2\r\n"

for fmtp in ("minptime=10;useinbandfec=1", "minptime=10; useinbandfec=1", "minptime=10;useinbandfec=1;"):
    print(repr(fmtp), "->", SessionDescription.parse(HEAD + f"a=fmtp:111 {fmtp}\r\n").media[0].rtp.codecs[0].parameters)
END
)
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
'minptime=10;useinbandfec=1' -> {'minptime': 10, 'useinbandfec': 1}
'minptime=10; useinbandfec=1' -> {'minptime': 10, ' useinbandfec': '1'}
'minptime=10;useinbandfec=1;' -> {'minptime': 10, 'useinbandfec': 1, '': None}
SEEN
