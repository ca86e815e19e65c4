#!/bin/bash
# aiortc 1.16.0 (PyPI) refuses a whole description because an extmap line carries attributes of the extension.
#
# RFC 8285 8 lets attributes follow the URI, and RFC 6464 4 defines one for the audio level: `vad=on`. The parser splits the
# line in two parts only and raises ValueError, so neither the section nor any other of the description is set. The direction
# behind the number (`1/sendonly`) is read, and thrown away.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check aiortc==1.16.0

seen=$("$dir/venv/bin/python" - <<'END'
from aiortc.sdp import SessionDescription

LINES = [
    "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0",
    "m=audio 9 UDP/TLS/RTP/SAVPF 111", "c=IN IP4 0.0.0.0", "a=mid:0", "a=rtpmap:111 opus/48000/2", "a=sendrecv",
]
URI = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"

for extmap in (f"1 {URI}", f"1/sendonly {URI}", f"1 {URI} vad=on"):
    try:
        parsed = SessionDescription.parse("\r\n".join([*LINES, f"a=extmap:{extmap}"]) + "\r\n")
        print(extmap, "->", parsed.media[0].rtp.headerExtensions[0])
    except ValueError as error:
        print(extmap, "-> ValueError:", error)
END
)
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
1 urn:ietf:params:rtp-hdrext:ssrc-audio-level -> RTCRtpHeaderExtensionParameters(id=1, uri='urn:ietf:params:rtp-hdrext:ssrc-audio-level')
1/sendonly urn:ietf:params:rtp-hdrext:ssrc-audio-level -> RTCRtpHeaderExtensionParameters(id=1, uri='urn:ietf:params:rtp-hdrext:ssrc-audio-level')
1 urn:ietf:params:rtp-hdrext:ssrc-audio-level vad=on -> ValueError: too many values to unpack (expected 2)
SEEN
