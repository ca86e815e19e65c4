#!/bin/bash
# requests 2.32.5 (PyPI) cuts the credential of an ICE server at a semicolon, though it stands in quotes.
#
# RFC 9725 4.6 gives TURN credentials as quoted parameters of a Link header, and a quoted string may hold anything (RFC 9110 5.6.4).
# parse_header_links splits at every semicolon first and takes the quotes off afterwards: half of the credential is left, the
# other half is a parameter of its own, and the relay refuses the client.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check requests==2.32.5

seen=$("$dir/venv/bin/python" - <<'END'
from requests.utils import parse_header_links

for credential in ("first-second", "first;second"):
    print(parse_header_links(f'<turn:turn.example.net>; rel="ice-server"; credential="{credential}"'))
END
)
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
[{'url': 'turn:turn.example.net', 'rel': 'ice-server', 'credential': 'first-second'}]
[{'url': 'turn:turn.example.net', 'rel': 'ice-server', 'credential': 'first'}]
SEEN
