#!/usr/bin/env python3
"""Writes libsrtp.txt: what libsrtp makes of packets, for src/srtp/tests/libsrtp.rs to compare with.

    python3 -m venv .venv && .venv/bin/pip install -r tests/vectors/requirements.txt
    .venv/bin/python tests/vectors/libsrtp.py

Nothing in it is random: the same libsrtp writes the same file. Each line is `keys PROFILE HEX`, which begins a
profile with the keying material that DTLS would have exported (RFC 5764 4.2: client key, server key, client salt,
server salt), or `rtp INDEX CLEAR SEALED` or `rtcp INDEX CLEAR SEALED`, sealed by the server.
"""

import struct
from importlib.metadata import version
from pathlib import Path

from pylibsrtp import Policy, Session

# Name, libsrtp's number, bytes of key and of salt.
PROFILES = [
    ("AEAD_AES_256_GCM", Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 32, 12),
    ("AEAD_AES_128_GCM", Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16, 12),
    ("AES_CM_128_HMAC_SHA1_80", Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16, 14),
]

# Two sources, each through two rollovers, with a packet that comes late after the first. No step reaches half
# of the sequence numbers, so that libsrtp counts the rollovers as every receiver does.
SOURCES = [
    (0x01020304, [0xFFFE, 0x1_0000, 0xFFFF, 0x1_0001, 0x1_7FFF, 0x1_FFFE, 0x2_0000, 0x2_0001]),
    (0xFEDCBA98, [0, 1, 0x7FFF, 0xFFFF, 0x1_0000, 0x1_7FFF, 0x1_FFFE, 0x2_0005]),
]

# Around the lengths of blocks, and a full packet.
PAYLOAD_LENGTHS = [0, 1, 15, 16, 17, 32, 160, 1100]


def stretch(length, seed):
    """Bytes without a pattern that repeats soon."""
    state, out = seed, bytearray()
    for _ in range(length):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        out.append(state >> 16 & 0xFF)
    return bytes(out)


def rtp(ssrc, index, length, form):
    """One packet: bare, with one-byte extensions, with two-byte extensions, or with CSRCs."""
    first, block = 0x80, b""
    if form == 1:
        first, block = 0x90, bytes.fromhex("bede0002 12616263 50ff0000".replace(" ", ""))
    elif form == 2:
        first, block = 0x90, bytes.fromhex("10000001 14016d00".replace(" ", ""))
    elif form == 3:
        first, block = 0x82, bytes.fromhex("0a0b0c0d 1a1b1c1d".replace(" ", ""))
    marker = 0x80 if index % 2 else 0
    header = struct.pack("!BBHII", first, marker | 96 + form, index & 0xFFFF, (index * 3000) & 0xFFFFFFFF, ssrc)
    return header + block + stretch(length, index ^ ssrc)


def rtcp(ssrc, number):
    """A compound: a sender report with `number` report blocks, then CNAME for the second and later."""
    blocks = number % 3
    words = 6 + 6 * blocks
    report = struct.pack("!BBHI", 0x80 | blocks, 200, words, ssrc) + stretch(4 * words - 4, number + 7)
    if number == 0:
        return report
    return report + struct.pack("!BBHI", 0x81, 202, 3, ssrc) + b"\x01\x05alice\x00"


def session(profile, key, direction):
    policy = Policy(key=key, ssrc_type=direction, srtp_profile=profile)
    policy.window_size = 1024
    return Session(policy=policy)


def write_profile(lines, name, profile, key_len, salt_len):
    material = stretch(2 * (key_len + salt_len), key_len * 1000 + salt_len)
    lines.append(f"keys {name} {material.hex()}")
    salts = material[2 * key_len :]
    key = material[key_len : 2 * key_len] + salts[salt_len:]
    sender = session(profile, key, Policy.SSRC_ANY_OUTBOUND)
    receiver = session(profile, key, Policy.SSRC_ANY_INBOUND)
    for place, (ssrc, indices) in enumerate(SOURCES):
        for number, index in enumerate(indices):
            clear = rtp(ssrc, index, PAYLOAD_LENGTHS[number], (number + place) % 4)
            sealed = sender.protect(clear)
            assert receiver.unprotect(sealed) == clear
            lines.append(f"rtp {index:012x} {clear.hex()} {sealed.hex()}")
        for number in range(3):
            clear = rtcp(ssrc, number)
            sealed = sender.protect_rtcp(clear)
            assert receiver.unprotect_rtcp(sealed) == clear
            # The index stands behind the packet, with the E bit, before the tag of HMAC or behind that of GCM.
            tag_behind = 10 if "HMAC" in name else 0
            at = len(sealed) - tag_behind - 4
            index = int.from_bytes(sealed[at : at + 4], "big") & 0x7FFFFFFF
            lines.append(f"rtcp {index:08x} {clear.hex()} {sealed.hex()}")


def main():
    lines = [f"# Written by libsrtp.py with pylibsrtp {version('pylibsrtp')}; change that, not this."]
    for profile in PROFILES:
        write_profile(lines, *profile)
    Path(__file__).with_suffix(".txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
