#!/bin/bash
# stun 2.1.0 (npm) reads other error codes than were sent, and finds nothing right with the messages that RFC 5769 gives as samples.
#
# An error code has its hundreds in one byte and the rest in the next (RFC 8489 14.8). The library makes hundreds * (rest + 100) of
# them: 401 Unauthenticated is 404, 438 Stale Nonce is 552, 487 Role Conflict is 748; what it writes is right. MESSAGE-INTEGRITY
# and FINGERPRINT it checks over the message as it would write it itself, with zeros as padding. RFC 8489 14 lets padding be any
# bytes, and the samples of RFC 5769 2.1 and 2.2 have spaces.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
npm install --prefix "$dir" --no-audit --no-fund --loglevel=error stun@2.1.0 >/dev/null

seen=$(cd "$dir" && node - <<'END'
const stun = require("stun");
const { createHmac } = require("node:crypto");
const { crc32 } = require("node:zlib");

const { STUN_BINDING_ERROR_RESPONSE, STUN_ATTR_ERROR_CODE } = stun.constants;
for (const code of [300, 401, 438, 487]) {
  const message = stun.createMessage(STUN_BINDING_ERROR_RESPONSE);
  message.addAttribute(STUN_ATTR_ERROR_CODE, code, "words");
  const bytes = stun.encode(message);
  const read = stun.decode(bytes).getAttribute(STUN_ATTR_ERROR_CODE).value.code;
  console.log(`${code}: written ${bytes.subarray(24, 28).toString("hex")}, read ${read}`);
}

const PASSWORD = "VOkJxbRl1RmTxUk/WvJxBt";
const attribute = (type, value, padding = 0) => {
  const bytes = Buffer.alloc(4 + Math.ceil(value.length / 4) * 4, padding);
  bytes.writeUInt16BE(type, 0);
  bytes.writeUInt16BE(value.length, 2);
  value.copy(bytes, 4);
  return bytes;
};
/** A response as RFC 5769 2.2 has it, with such padding behind the eleven bytes of SOFTWARE. */
function response(padding) {
  const header = Buffer.from("010100002112a442b7e7a701bc34d686fa87dfae", "hex");
  const address = attribute(0x0020, Buffer.from("0001a147e112a643", "hex"));
  let message = Buffer.concat([header, attribute(0x8022, Buffer.from("test vector"), padding), address]);
  const add = (type, of) => {
    const length = type === 0x0008 ? 24 : 8;
    message.writeUInt16BE(message.length - 20 + length, 2);
    message = Buffer.concat([message, attribute(type, of(message))]);
  };
  add(0x0008, (bytes) => createHmac("sha1", PASSWORD).update(bytes).digest());
  add(0x8028, (bytes) => {
    const sum = Buffer.alloc(4);
    sum.writeUInt32BE((crc32(bytes) ^ 0x5354554e) >>> 0);
    return sum;
  });
  return message;
}
const check = (name, bytes) => {
  const message = stun.decode(bytes);
  console.log(`${name}: integrity ${stun.validateMessageIntegrity(message, PASSWORD)}, fingerprint ${stun.validateFingerprint(message)}`);
};
check("zeros as padding", response(0));
check("spaces as padding", response(0x20));
check("RFC 5769 2.2", Buffer.from(
  "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643" +
  "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96", "hex"));
END
)
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
300: written 00000300, read 300
401: written 00000401, read 404
438: written 00000426, read 552
487: written 00000457, read 748
zeros as padding: integrity true, fingerprint true
spaces as padding: integrity false, fingerprint false
RFC 5769 2.2: integrity false, fingerprint false
SEEN
