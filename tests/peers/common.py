"""What both ends share: times, frames, and a database that is on the disk when it says so."""

import json
import sqlite3
import uuid
from datetime import datetime, timezone

SUBPROTOCOL = "terminal-ops.v1"
PATH = "/v1/terminal/ws"


def say(**event):
    """What people and tests follow: one JSON object per line."""
    print(json.dumps(event), flush=True)


class Invalid(Exception):
    """A frame of a known type that cannot be read."""


def open_database(path, schema):
    """Every commit waits for the disk."""
    db = sqlite3.connect(path, isolation_level="IMMEDIATE")
    db.execute("PRAGMA synchronous = EXTRA")
    db.executescript(schema)
    db.row_factory = sqlite3.Row
    return db


def time_text(seconds):
    text = datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def seconds_of(text):
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except (AttributeError, ValueError) as error:
        raise Invalid(f"no time: {text!r}") from error


def field(frame, name, kind):
    """A required field; integers are never negative, nor larger than a database can hold."""
    value = frame.get(name) if isinstance(frame, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise Invalid(f"{name} is missing or no {kind.__name__}")
    if kind is int and not 0 <= value < 2**63:
        raise Invalid(f"{name} is {value}, want 0 to 2^63-1")
    return value


def id_field(frame, name):
    """A required uuid, as it is written."""
    try:
        return str(uuid.UUID(field(frame, name, str)))
    except ValueError as problem:
        raise Invalid(f"{name} is no uuid") from problem


def error(code, message, ref=None):
    frame = {"type": "error", "code": code, "message": message}
    return frame if ref is None else {**frame, "ref": str(ref)}


async def read_frame(socket):
    """The next message: a frame, or the bytes of a binary one."""
    message = await socket.receive()
    if isinstance(message, bytes):
        return message
    try:
        frame = json.loads(message)
    except (ValueError, RecursionError):
        frame = None
    if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
        await socket.fail(1007, "not a frame")
    return frame


async def write_frame(socket, frame):
    await socket.send(json.dumps(frame, separators=(",", ":")))
