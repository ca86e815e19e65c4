#!/bin/bash
# aiortc 1.16.0 (PyPI) takes no STUN or TURN server whose address is one of IPv6, nor one whose scheme is in capitals.
#
# RFC 7064 3.1 and RFC 7065 3.1 take `host` from RFC 3986, where an address of IPv6 stands in brackets; 3.1 of RFC 3986 has schemes
# without regard to case. The reader forbids colons in the host, so the whole configuration raises ValueError.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check aiortc==1.16.0

seen=$("$dir/venv/bin/python" - <<'END'
from aiortc.rtcicetransport import parse_stun_turn_uri

for uri in ("stun:192.0.2.1:3478", "stun:[2001:db8::1]:3478", "turn:[2001:db8::1]?transport=udp", "STUN:stun.example.net"):
    try:
        print(uri, "->", parse_stun_turn_uri(uri)["host"])
    except ValueError as error:
        print(uri, "-> ValueError:", error)
END
)
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
stun:192.0.2.1:3478 -> 192.0.2.1
stun:[2001:db8::1]:3478 -> ValueError: malformed uri
turn:[2001:db8::1]?transport=udp -> ValueError: malformed uri
STUN:stun.example.net -> ValueError: malformed uri: invalid scheme
SEEN
