"""What schemathesis is told of this server: some of the sessions that are there, and how a stream ends.

A name that is made up is not found, and nothing behind that is tried. So most requests go to a session
that exists; which one is decided by what was made up, so that a seed says everything. Without
HTTP_FUZZ_SESSIONS names stay as they are.

A stream of events goes on for ever, unless it is asked not to follow.
"""

import os
import zlib

import schemathesis

# As they stand in a path.
SESSIONS = [name.replace("/", "%2F") for name in os.environ.get("HTTP_FUZZ_SESSIONS", "").split()]


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.path.endswith("/events") and wants_to_follow(case.query):
        case.query = {**(case.query or {}), "follow": "false"}
    made_up = case.path_parameters.get("session")
    if not SESSIONS or not isinstance(made_up, str):
        return
    number = zlib.crc32(made_up.encode("utf-8", "surrogatepass"))
    if number % 4:
        case.path_parameters["session"] = SESSIONS[number // 4 % len(SESSIONS)]
    # Who deletes them all has nothing left to ask; what the requests themselves made, they delete.
    if case.method == "DELETE" and case.path.endswith("{session}"):
        case.path_parameters["session"] = f"fuzz%2Fgone-{number % 1000}"


def wants_to_follow(query):
    """Not where what is asked is wrong on purpose."""
    return (query or {}).get("follow", True) in (True, "true")
