#!/usr/bin/env python3
"""Speaks the part of Ringcast's HTTP API that the load generator uses, and passes it on to Janus's VideoRoom.

An application is a room, a session is a handle of the plugin: a publisher joins with the offer of its push and gets
Janus's answer; a subscriber joins with the tracks of its pull, gets Janus's offer and starts with its answer. Janus
has one peer connection for each direction, so a session here publishes or subscribes, never both.

All handles belong to one Janus session, whose events one thread polls: Janus is not busy with the shim while media
flows.
"""

import argparse
import http.client
import itertools
import json
import queue
import secrets
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PLUGIN = "janus.plugin.videoroom"
# How long Janus may take for one step, and to start.
STEP_SECONDS = 10
START_SECONDS = 10
# What one request may have at most.
REQUEST_BYTES_MAX = 1 << 20
# Rooms take more publishers than any measurement has.
PUBLISHERS_MAX = 10_000


class Refused(Exception):
    """The reason why a call cannot be done."""


class Janus:
    """One session of Janus's HTTP API."""

    def __init__(self, host, port):
        self.address = (host, port)
        self.numbers = itertools.count(1)
        self.waiting = {}
        self.session = self.ask("", {"janus": "create"})["data"]["id"]
        threading.Thread(target=self.poll, daemon=True).start()

    def call(self, method, path, body, connection):
        text = None if body is None else json.dumps(body)
        connection.request(method, f"/janus{path}", text, {"Content-Type": "application/json"})
        return json.loads(connection.getresponse().read())

    def ask(self, path, body, transaction=None):
        """Sends one request and returns what Janus says at once."""
        connection = http.client.HTTPConnection(*self.address, timeout=STEP_SECONDS)
        try:
            body = body | {"transaction": transaction or f"t{next(self.numbers)}"}
            reply = self.call("POST", path, body, connection)
        finally:
            connection.close()
        if reply["janus"] == "error":
            raise Refused(reply["error"]["reason"])
        return reply

    def attach(self):
        return self.ask(f"/{self.session}", {"janus": "attach", "plugin": PLUGIN})["data"]["id"]

    def message(self, handle, body, jsep=None):
        """Sends a message to the plugin; returns its data and its description, which may come as an event."""
        request = {"janus": "message", "body": body}
        if jsep is not None:
            request["jsep"] = jsep
        transaction = f"t{next(self.numbers)}"
        answer = self.waiting[transaction] = queue.Queue()
        try:
            reply = self.ask(f"/{self.session}/{handle}", request, transaction)
            if reply["janus"] == "ack":
                reply = answer.get(timeout=STEP_SECONDS)
        except queue.Empty:
            raise Refused(f"Janus does not answer {body['request']}") from None
        finally:
            del self.waiting[transaction]
        data = reply["plugindata"]["data"]
        if "error" in data:
            raise Refused(data["error"])
        return data, reply.get("jsep")

    def poll(self):
        connection = http.client.HTTPConnection(*self.address, timeout=120)
        while True:
            try:
                events = self.call("GET", f"/{self.session}?maxev=50", None, connection)
            except OSError as error:
                sys.exit(f"shim: Janus is gone: {error}")
            for event in events if isinstance(events, list) else [events]:
                waiting = self.waiting.get(event.get("transaction"))
                if waiting is not None and event["janus"] == "event":
                    waiting.put(event)


class Session:
    """One client."""

    def __init__(self, room, handle):
        self.room = room
        self.handle = handle
        self.feed = None
        self.mids = {}
        self.subscribes = False


class Rooms:
    """What the API is about: applications and their sessions."""

    def __init__(self, janus):
        self.janus = janus
        self.lock = threading.Lock()
        self.rooms = {}
        self.sessions = {}
        self.owner = janus.attach()

    def room(self, app):
        with self.lock:
            if app not in self.rooms:
                number = len(self.rooms) + 1
                room = {"request": "create", "room": number, "publishers": PUBLISHERS_MAX, "bitrate": 0, "fir_freq": 0}
                room |= {"audiocodec": "opus", "videocodec": "vp8", "notify_joining": False, "record": False}
                extensions = ("audiolevel_ext", "videoorient_ext", "playoutdelay_ext", "transport_wide_cc_ext")
                self.janus.message(self.owner, room | {name: False for name in extensions})
                self.rooms[app] = number
            return self.rooms[app]

    def new_session(self, app):
        name = secrets.token_hex(16)
        self.sessions[name] = Session(self.room(app), self.janus.attach())
        return {"sessionId": name}

    def session(self, name):
        if name not in self.sessions:
            raise Refused(f"there is no session {name}")
        return self.sessions[name]

    def push(self, session, offer, tracks):
        if session.feed is not None or session.subscribes:
            raise Refused("a session of Janus publishes once, and does not subscribe besides")
        join = {"request": "joinandconfigure", "ptype": "publisher", "room": session.room}
        data, answer = self.janus.message(session.handle, join, offer | {"trickle": False})
        if answer is None:
            raise Refused("Janus did not answer the offer")
        session.feed = data["id"]
        session.mids = {track["trackName"]: track["mid"] for track in tracks}
        return {"sessionDescription": description(answer), "tracks": tracks}

    def pull(self, session, tracks):
        if session.feed is not None:
            raise Refused("a session of Janus that publishes does not subscribe besides")
        streams = []
        for track in tracks:
            publisher = self.session(track["sessionId"])
            if track["trackName"] not in publisher.mids:
                raise Refused(f"session {track['sessionId']} has no track {track['trackName']}")
            streams.append({"feed": publisher.feed, "mid": publisher.mids[track["trackName"]]})
        if session.subscribes:
            request = {"request": "subscribe", "streams": streams}
        else:
            request = {"request": "join", "ptype": "subscriber", "room": session.room, "streams": streams}
            request["autoupdate"] = False
        _data, offer = self.janus.message(session.handle, request)
        if offer is None:
            raise Refused("Janus made no offer")
        session.subscribes = True
        return {"sessionDescription": description(offer), "requiresImmediateRenegotiation": True, "tracks": tracks}

    def renegotiate(self, session, answer):
        self.janus.message(session.handle, {"request": "start"}, answer | {"trickle": False})
        return {}


def description(jsep):
    return {"type": jsep["type"], "sdp": jsep["sdp"]}


class Call(BaseHTTPRequestHandler):
    """One connection of a client of the API."""

    protocol_version = "HTTP/1.1"
    rooms = None

    def do_POST(self):
        self.answer()

    def do_PUT(self):
        self.answer()

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        if length > REQUEST_BYTES_MAX:
            self.reply(413, "the request is too long")
            self.close_connection = True
            return
        text = self.rfile.read(length)
        try:
            status, reply = 200, self.obey(json.loads(text) if text else {})
        except (Refused, KeyError, TypeError, ValueError, OSError) as error:
            status, reply = 400, f"{type(error).__name__}: {error}"
        self.reply(status, reply)

    def obey(self, body):
        match self.path.strip("/").split("/"):
            case ["v1", "apps", app, "sessions", "new"] if self.command == "POST":
                return self.rooms.new_session(app)
            case ["v1", "apps", _, "sessions", name, "tracks", "new"] if self.command == "POST":
                session = self.rooms.session(name)
                if "sessionDescription" in body:
                    return self.rooms.push(session, body["sessionDescription"], body["tracks"])
                return self.rooms.pull(session, body["tracks"])
            case ["v1", "apps", _, "sessions", name, "renegotiate"] if self.command == "PUT":
                return self.rooms.renegotiate(self.rooms.session(name), body["sessionDescription"])
        raise Refused("there is no such call")

    def reply(self, status, body):
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        """Says nothing of calls that went well or not: the client is told."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def connect(port):
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return Janus("127.0.0.1", port)
        except OSError as error:
            if time.monotonic() > deadline:
                sys.exit(f"shim: Janus does not start: {error}")
            time.sleep(0.05)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", required=True, help="address of the API")
    parser.add_argument("--janus-port", required=True, type=int, help="port of Janus's HTTP API on 127.0.0.1")
    arguments = parser.parse_args()
    host, _, port = arguments.listen.rpartition(":")
    Call.rooms = Rooms(connect(arguments.janus_port))
    server = Server((host.strip("[]"), int(port)), Call)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
