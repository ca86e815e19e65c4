#!/bin/bash
# ffmpeg's WHIP muxer waits for DTLS and reads away the first hello; built upon GnuTLS (PyAV 18.1.0, ffmpeg 8.1) its
# certificate is on a curve that the hello does not name; and 9.0.2 takes an empty reply to its DELETE for none.
#
# The offer says setup:passive, so the other side begins as soon as a connectivity check of ffmpeg's has passed. That first
# hello gets no answer: the handshake goes on with its repetition, for most implementations a second later. RFC 8422 5.1 has
# the server's certificate keep to the curves that the client's hello names, and RFC 8827 6.5 has everybody support P-256;
# the certificate of PyAV's ffmpeg is on P-224, and OpenSSL as client refuses it unless P-224 is asked for by name. (Upon
# OpenSSL, as in imageio-ffmpeg 0.8.1, it is on P-256.) At the end RFC 9725 4.2 wants DELETE answered by 200; one with
# `Content-Length: 0` and `Connection: close`, as was asked for, is "Failed to read response".
#
# The other side here is OpenSSL's s_client, behind a few lines that answer HTTP and connectivity checks.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 imageio-ffmpeg==0.8.1
cd "$dir"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out certificate.pem -subj /CN=peer 2>/dev/null

cat >pyav.py <<'END'
import sys
import av

whip = av.open(sys.argv[1], "w", format="whip")
video = whip.add_stream("libx264", rate=15, options={"bf": "0"})
video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
whip.start_encoding()
END

cat >peer.py <<'END'
import hashlib, hmac, http.server, re, socket, struct, subprocess, sys, threading, zlib

groups, *encoder = sys.argv[1:]
PASSWORD = "password-of-the-peer-0123"
ice, near = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
for one in (ice, near):
    one.bind(("127.0.0.1", 0))
fingerprint = subprocess.check_output("openssl x509 -in certificate.pem -noout -sha256 -fingerprint".split(), text=True)


def answer(offer):
    kept = re.findall(r"a=(?:mid|rtpmap|fmtp):.*|m=video.*", offer)
    number = kept[0].split()[3]
    lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=ice-lite", "a=group:BUNDLE 0"]
    lines += [f"m=video 9 UDP/TLS/RTP/SAVPF {number}", "c=IN IP4 127.0.0.1", "a=rtcp-mux", "a=recvonly", "a=setup:active"]
    lines += [line.strip() for line in kept if line.startswith("a=mid") or f":{number} " in line]
    lines += ["a=ice-ufrag:peer", f"a=ice-pwd:{PASSWORD}", f"a=fingerprint:sha-256 {fingerprint.strip().split('=')[1]}"]
    return "\r\n".join(lines + [f"a=candidate:1 1 udp 2130706431 127.0.0.1 {ice.getsockname()[1]} typ host", ""])


class Whip(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def say(self, status, body=b""):
        self.send_response(status)
        self.send_header("Location", "/1")
        self.send_header("Content-Type", "application/sdp")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.say(201, answer(self.rfile.read(int(self.headers["Content-Length"])).decode()).encode())

    def do_DELETE(self):
        self.say(200)

    def log_message(self, *_):
        pass


def attribute(kind, value):
    return struct.pack("!HH", kind, len(value)) + value


def passed(check, address):
    """The reply to a connectivity check (RFC 8489)."""
    head = lambda length: struct.pack("!HH", 0x0101, length) + check[4:20]
    port, host = address[1] ^ 0x2112, int.from_bytes(socket.inet_aton(address[0]), "big") ^ 0x2112A442
    body = attribute(0x20, struct.pack("!BBHI", 0, 1, port, host))
    body += attribute(8, hmac.new(PASSWORD.encode(), head(len(body) + 24) + body, hashlib.sha1).digest())
    body += attribute(0x8028, struct.pack("!I", zlib.crc32(head(len(body) + 8) + body) ^ 0x5354554E))
    return head(len(body)) + body


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Whip)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/whip"
log = open("encoder.log", "w+")
encoder = subprocess.Popen([*encoder, url], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
ice.settimeout(30)
check, there = ice.recvfrom(2000)
ice.sendto(passed(check, there), there)
connect = ["-dtls1_2", "-connect", f"127.0.0.1:{near.getsockname()[1]}", "-groups", groups, "-use_srtp", "SRTP_AES128_CM_SHA1_80"]
connect += ["-cert", "certificate.pem", "-key", "key.pem"]
openssl = subprocess.Popen(["openssl", "s_client", *connect], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
hellos, answered, here = [], [], []


def out():
    while True:
        datagram, address = near.recvfrom(4000)
        here[:] = [address]
        if datagram[0] == 22 and datagram[13] == 1:
            hellos.append(datagram)
        ice.sendto(datagram, there)


def back():
    while True:
        datagram, _ = ice.recvfrom(4000)
        if datagram[0] < 4:
            ice.sendto(passed(datagram, there), there)
        elif 20 <= datagram[0] < 64:
            answered.append(len(hellos))
            near.sendto(datagram, here[0])


for one in (out, back):
    threading.Thread(target=one, daemon=True).start()
try:
    encoder.wait(20)
except subprocess.TimeoutExpired:
    encoder.kill()
openssl.kill()
told = openssl.communicate()[0]
result = re.search(r"wrong curve|Cipher is (?!\(NONE\)).*", told)
print(f"hello {answered[0]} is the first that is answered;", re.search(r"public key is \d+ bit", told)[0] + ";", result and result[0])
log.seek(0)
for line in re.findall(r"Failed to (?:read|dispose).*?(?= url|,|$)", log.read(), re.M):
    print("  " + line)
END

show() { echo "$1, groups $2:" && "$dir/venv/bin/python" peer.py "$2" "${@:3}"; }
ffmpeg=$("$dir/venv/bin/python" -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())')
seen=$(
  show "PyAV 18.1.0" X25519:P-256 "$dir/venv/bin/python" pyav.py
  show "PyAV 18.1.0" X25519:P-256:P-224 "$dir/venv/bin/python" pyav.py
  show "$("$ffmpeg" -version | grep -oE '^ffmpeg version n[0-9.]+')" X25519:P-256 "$ffmpeg" -re -f lavfi -i testsrc2=size=320x180:rate=15 \
    -t 3 -c:v libx264 -bf 0 -pix_fmt yuv420p -f whip
)
echo "$seen"
diff <(echo "$seen") - <<'SEEN'
PyAV 18.1.0, groups X25519:P-256:
hello 2 is the first that is answered; public key is 224 bit; wrong curve
PyAV 18.1.0, groups X25519:P-256:P-224:
hello 2 is the first that is answered; public key is 224 bit; Cipher is ECDHE-ECDSA-AES256-GCM-SHA384
ffmpeg version n9.0.2, groups X25519:P-256:
hello 2 is the first that is answered; public key is 256 bit; Cipher is ECDHE-ECDSA-AES256-GCM-SHA384
  Failed to read response from DELETE
  Failed to dispose resource
SEEN
