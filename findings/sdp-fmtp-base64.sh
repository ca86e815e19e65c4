#!/bin/bash
# sdp 3.2.2 (npm), the parser below webrtc-adapter, cuts the padding of base64 off the parameter sets of H.264.
#
# RFC 6184 8.1 has sprop-parameter-sets in base64, which ends in `=` more often than not. A parameter's value ends at its second
# `=` here, so the last parameter set of a stream comes out without its padding, and strict decoders of base64 refuse it.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
npm install --prefix "$dir" --no-audit --no-fund --loglevel=error sdp@3.2.2 >/dev/null

seen=$(cd "$dir" && node - <<'END'
const { parseFmtp } = require("sdp");
console.log(parseFmtp("a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0LAHtkDxWhA,aMuMsg==")["sprop-parameter-sets"]);
END
)
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
Z0LAHtkDxWhA,aMuMsg
SEEN
