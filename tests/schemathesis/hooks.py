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
turn = itertools.count()


def post(path, body=None):
    """Sends one call that must succeed, and returns its answer."""
    request = urllib.request.Request(
        f"{os.environ['SCHEMA_TEST_URL']}/v1/apps/{os.environ['SCHEMA_TEST_APP']}/{path}",
        method="POST",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {os.environ['SCHEMA_TEST_SECRET']}"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def open_session(with_tracks):
    """Opens a session, with two published tracks on request, and returns its id."""
    session = post("sessions/new")["sessionId"]
    if with_tracks:
        offer = {"type": "offer", "sdp": OFFER}
        post(f"sessions/{session}/tracks/new", {"sessionDescription": offer, "tracks": PUSH})
    return session


@schemathesis.hook
def before_call(context, case, **kwargs):
    """Three of four well-formed session ids become live ones, one of them with tracks; every other description
    becomes a real offer, and every other mid one of that offer."""
    number = next(turn)
    path = case.path_parameters or {}
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
