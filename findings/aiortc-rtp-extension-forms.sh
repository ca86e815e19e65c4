#!/bin/bash
# aiortc 1.16.0 (PyPI) loses RTP header extensions in two of the forms that RFC 8285 allows.
#
# The two-byte form is marked by 0x100 and four bits that the application may use (RFC 8285 4.3); with any of these set, all
# extensions of the packet are gone without a word, so a server that finds streams by their mid does not. In the one-byte form the
# number 15 ends the reading (4.2); here it is handed out as an extension, and with a length that goes past the end, which 4.2 says
# to ignore, the packet is an error.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check aiortc==1.16.0

seen=$("$dir/venv/bin/python" - <<'END'
from aiortc.rtp import unpack_header_extensions

for name, profile, value in (
    ("two-byte form, application bits 0", 0x1000, "0101aa00"),
    ("two-byte form, application bits 1", 0x1001, "0101aa00"),
    ("one-byte form, ended by 15", 0xBEDE, "10aaf000"),
    ("one-byte form, ended by 15 with a length", 0xBEDE, "10aaff00"),
):
    try:
        print(name, "->", unpack_header_extensions(profile, bytes.fromhex(value)))
    except ValueError as error:
        print(name, "-> ValueError:", error)
END
)
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
two-byte form, application bits 0 -> [(1, b'\xaa')]
two-byte form, application bits 1 -> []
one-byte form, ended by 15 -> [(1, b'\xaa'), (15, b'\x00')]
one-byte form, ended by 15 with a length -> ValueError: RTP one-byte header extension value is truncated
SEEN
