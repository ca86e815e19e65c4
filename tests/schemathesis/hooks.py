"""Gives generated requests what chance would never find: a live session, and descriptions that a browser could send."""

import itertools
import json
import os
import pathlib
import re
import urllib.request

import schemathesis

SESSION_ID = re.compile(r"^[0-9a-f]{32}$")
OFFER = pathlib.Path(__file__).with_name("offer.sdp").read_bytes().decode()
PUSH = [
    {"location": "local", "mid": "0", "trackName": "microphone"},
    {"location": "local", "mid": "1", "trackName": "camera"},
]
FRAGMENT = "a=ice-ufrag:new1\r\na=ice-pwd:a-password-of-the-test-22\r\n"
APP = os.environ["SCHEMA_TEST_APP"]
turn = itertools.count()


def call(path, data, content):
    """Sends one POST that must succeed, and returns its answer."""
    headers = {"Authorization": f"Bearer {os.environ['SCHEMA_TEST_SECRET']}", "Content-Type": content}
    request = urllib.request.Request(os.environ["SCHEMA_TEST_URL"] + path, data, headers, method="POST")
    return urllib.request.urlopen(request, timeout=10)


def post(path, body=None):
    """Sends one call of the application, and returns what it answers."""
    data = None if body is None else json.dumps(body).encode()
    with call(f"/v1/apps/{APP}/{path}", data, "application/json") as response:
        return json.load(response)


def open_session(with_tracks):
    """Opens a session, with two published tracks on request, and returns its id."""
    session = post("sessions/new")["sessionId"]
    if with_tracks:
        offer = {"type": "offer", "sdp": OFFER}
        post(f"sessions/{session}/tracks/new", {"sessionDescription": offer, "tracks": PUSH})
    return session


def open_stream(kind, direction):
    """Publishes or plays a stream of its own, and returns its name and the resource's id."""
    name = f"stream-{next(turn)}"
    offer = OFFER.replace("a=sendonly", f"a={direction}").encode()
    with call(f"/{kind}/{APP}/{name}", offer, "application/sdp") as response:
        return name, response.headers["Location"].rsplit("/", 1)[1]


def prepare_stream(case, path, number):
    """Gives a call on a stream what it needs, more often than not."""
    kind = case.path.split("/")[1]
    direction = {"whip": "sendonly", "whep": "recvonly"}[kind]
    if SESSION_ID.match(str(path.get("sessionId", ""))) and number % 4:
        path["stream"], path["sessionId"] = open_stream(kind, direction)
    if isinstance(case.body, str) and number % 2:
        is_fragment = case.media_type == "application/trickle-ice-sdpfrag"
        case.body = FRAGMENT if is_fragment else OFFER.replace("a=sendonly", f"a={direction}")
        if is_fragment and number % 4 == 1:
            case.headers["If-Match"] = "*"


@schemathesis.serializer("application/sdp", "application/trickle-ice-sdpfrag")
def as_text(context, value):
    """What is generated for these is text."""
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def before_call(context, case, **kwargs):
    """Three of four well-formed session ids become live ones, one of them with tracks; every other description
    becomes a real offer, and every other mid one of that offer. The same for publishers and viewers of streams."""
    number = next(turn)
    path = case.path_parameters or {}
    if "stream" in path:
        prepare_stream(case, path, number)
        return
    if SESSION_ID.match(str(path.get("sessionId", ""))) and number % 4:
        path["sessionId"] = open_session(with_tracks=number % 4 == 1)
    body = case.body
    if not isinstance(body, dict):
        return
    description = body.get("sessionDescription")
    if isinstance(description, dict) and "sdp" in description and number % 2:
        description["sdp"] = OFFER
    tracks = body.get("tracks")
    for track in tracks if isinstance(tracks, list) and number % 8 < 4 else []:
        if isinstance(track, dict) and "mid" in track:
            track["mid"] = "0"
        if isinstance(track, dict) and "sessionId" in track and "sessionId" in path:
            track.update(sessionId=path["sessionId"], trackName="microphone")
