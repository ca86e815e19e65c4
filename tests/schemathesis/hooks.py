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
turn = itertools.count()


def open_session():
    """Opens a session and returns its id."""
    request = urllib.request.Request(
        f"{os.environ['SCHEMA_TEST_URL']}/v1/apps/{os.environ['SCHEMA_TEST_APP']}/sessions/new",
        method="POST",
        headers={"Authorization": f"Bearer {os.environ['SCHEMA_TEST_SECRET']}"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)["sessionId"]


@schemathesis.hook
def before_call(context, case, **kwargs):
    """Three of four well-formed session ids become live ones; every other description becomes a real offer."""
    number = next(turn)
    path = case.path_parameters or {}
    if SESSION_ID.match(str(path.get("sessionId", ""))) and number % 4:
        path["sessionId"] = open_session()
    body = case.body
    description = body.get("sessionDescription") if isinstance(body, dict) else None
    if isinstance(description, dict) and "sdp" in description and number % 2:
        description["sdp"] = OFFER
