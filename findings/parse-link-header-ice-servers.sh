#!/bin/bash
# parse-link-header 2.0.0 (npm) keeps one of the ICE servers that a WHIP or WHEP endpoint names.
#
# RFC 9725 4.6 has one Link for each server, all with rel="ice-server". The result is keyed by that word, so the last one stays; a
# client that hands it on tries one relay where three were given. What stands behind the `?` of the server becomes a property
# beside username and credential.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
npm install --prefix "$dir" --no-audit --no-fund --loglevel=error parse-link-header@2.0.0 >/dev/null

seen=$(cd "$dir" && node - <<'END'
const servers = ["stun:stun.example.net", "turn:turn.example.net?transport=udp", "turn:turn.example.net?transport=tcp"];
const header = servers.map((server) => `<${server}>; rel="ice-server"; username="user"; credential="pass"`).join(", ");
for (const [relation, link] of Object.entries(require("parse-link-header")(header))) {
  console.log(relation, JSON.stringify(link));
}
END
)
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
ice-server {"transport":"tcp","rel":"ice-server","username":"user","credential":"pass","url":"turn:turn.example.net?transport=tcp"}
SEEN
