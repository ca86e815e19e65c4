#!/bin/bash
# sdp-transform 1.1.0 (PyPI, a port of the one on npm) cannot write what it has read, or writes something else.
#
# RFC 8866 5.14 lets a number of ports follow the port: `m=video 9/2` is read and cannot be written (TypeError). A telephone number
# (5.6) loses its plus and is another one. Of several `a=msid` lines in a section, which RFC 8830 2 allows, the last is kept, and of
# the attributes of an extension (RFC 8285 5) the first.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check sdp-transform==1.1.0

seen=$("$dir/venv/bin/python" - <<'END'
import sdp_transform

HEAD = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-"]
MEDIA = ["t=0 0", "m=video 9 UDP/TLS/RTP/SAVPF 96", "c=IN IP4 0.0.0.0"]

for name, lines in {
    "m=video 9": HEAD + MEDIA,
    "m=video 9/2": HEAD + [line.replace(" 9 ", " 9/2 ") for line in MEDIA],
    "p=+44 20 7946 0000": HEAD + ["p=+44 20 7946 0000"] + MEDIA,
    "p=+442079460000": HEAD + ["p=+442079460000"] + MEDIA,
    "two msid lines": HEAD + MEDIA + ["a=msid:one a", "a=msid:two a"],
    "an extension": HEAD + MEDIA + ["a=extmap:1 urn:x first second"],
}.items():
    try:
        written = sdp_transform.write(sdp_transform.parse("\r\n".join(lines) + "\r\n")).split("\r\n")
        lost, new = [line for line in lines if line not in written], [line for line in written if line and line not in lines]
        print(f"{name}: " + (f"{lost} -> {new}" if lost or new else "the same"))
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {error}")
END
)
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
m=video 9: the same
m=video 9/2: TypeError: not enough arguments for format string
p=+44 20 7946 0000: the same
p=+442079460000: ['p=+442079460000'] -> ['p=442079460000']
two msid lines: ['a=msid:one a'] -> []
an extension: ['a=extmap:1 urn:x first second'] -> ['a=extmap:1 urn:x first']
SEEN
