#!/usr/bin/env python3
"""A minimal cloud for terminals, written from agent/PROTOCOL.md alone with the standard library.

usage: cloud.py --data FILE --certificate PEM --key PEM --client-ca PEM [--port N] [--heartbeat-s N]

It says what happens as JSON lines on standard output, the first one {"listening": PORT}, and takes
orders as JSON lines on standard input:

    {"dispatch": "end_of_day", "terminal_id": "T1", "parameters": {}, "ttl_s": 900}
    {"cancel": ID}      {"cut": TERMINAL_ID}      {"show": ID}
"""

import argparse
import asyncio
import json
import ssl
import sys
import time
import uuid

import websocket
from common import (PATH, SUBPROTOCOL, Invalid, error, field, open_database, read_frame, say,
                    time_text, write_frame)

SCHEMA = """
CREATE TABLE IF NOT EXISTS operations (
    place INTEGER PRIMARY KEY, id TEXT UNIQUE, terminal_id TEXT, frame TEXT, created_at REAL,
    ttl_s INTEGER, first_epoch TEXT, cancelled INTEGER DEFAULT 0, verdict TEXT);
CREATE TABLE IF NOT EXISTS reports (
    epoch TEXT, seq INTEGER, terminal_id TEXT, report_id TEXT, frame TEXT,
    PRIMARY KEY (epoch, seq));
CREATE TABLE IF NOT EXISTS epochs (epoch TEXT PRIMARY KEY, acked INTEGER, gaps INTEGER DEFAULT 0);
"""
AGAIN_S = 5
VERDICTS = ("COMPLETED", "FAILED")
DAY_S = 86400


class Link:
    """A terminal that has said hello."""

    def __init__(self, cloud, socket, hello):
        self.cloud, self.db, self.socket = cloud, cloud.db, socket
        self.terminal_id = field(hello, "terminal_id", str)
        self.epoch = field(hello, "store_epoch", str)
        self.unfinished = {field(one, "id", str) for one in field(hello, "unfinished", list)}
        self.first_seq = field(field(hello, "outbox", dict), "first_seq", int)
        self.dispatched = set(self.unfinished)

    async def welcome(self):
        with self.db:
            self.db.execute("INSERT OR IGNORE INTO epochs VALUES (?, 0, 0)", [self.epoch])
            gap = [self.first_seq - 1, self.epoch, self.first_seq - 1]
            self.db.execute("UPDATE epochs SET acked = ?, gaps = gaps + 1"
                            " WHERE epoch = ? AND acked < ?", gap)
            acked = self.advance()
        stored = self.db.execute("SELECT report_id FROM reports WHERE epoch = ? AND seq = ?",
                                 [self.epoch, acked]).fetchone()
        await write_frame(self.socket, {
            "type": "welcome", "session_id": str(uuid.uuid4()),
            "server_time": time_text(time.time()), "heartbeat_s": self.cloud.heartbeat_s,
            "ack_seq": acked, "ack_report_id": stored and stored["report_id"]})

    def advance(self):
        """Moves the mark to the last report without a gap before it."""
        row = self.db.execute("SELECT acked FROM epochs WHERE epoch = ?", [self.epoch]).fetchone()
        acked = row["acked"]
        later = self.db.execute("SELECT seq FROM reports WHERE epoch = ? AND seq > ? ORDER BY seq",
                                [self.epoch, acked])
        for row in later:
            if row["seq"] != acked + 1:
                break
            acked += 1
        self.db.execute("UPDATE epochs SET acked = ? WHERE epoch = ?", [acked, self.epoch])
        return acked

    async def dispatch(self):
        """Sends what has no verdict, in order of creation, and what withdraws it."""
        waiting = self.db.execute("SELECT * FROM operations WHERE terminal_id = ?"
                                  " AND verdict IS NULL ORDER BY place",
                                  [self.terminal_id]).fetchall()
        for row in waiting:
            if row["id"] not in self.dispatched:
                await self.dispatch_one(row)
            if row["cancelled"]:
                await write_frame(self.socket, {"type": "cancel", "id": row["id"]})

    async def dispatch_one(self, row):
        self.dispatched.add(row["id"])
        epoch = row["first_epoch"] or self.epoch
        with self.db:
            self.db.execute("UPDATE operations SET first_epoch = ? WHERE id = ?",
                            [epoch, row["id"]])
        left = max(0, int(row["ttl_s"] - (time.time() - row["created_at"])))
        await write_frame(self.socket, {**json.loads(row["frame"]), "ttl_s": left,
                                        "first_epoch": epoch})
        say(dispatched=row["id"])

    async def take(self, frame):
        if isinstance(frame, bytes):
            # This cloud keeps no logs: the upload that the chunk belongs to fails.
            ref = str(uuid.UUID(bytes=frame[:16])) if len(frame) >= 16 else None
            return await write_frame(self.socket, error("INVALID_MESSAGE", "no logs here", ref))
        kind = frame["type"]
        if kind == "report":
            await self.store(frame)
        elif kind in ("accepted", "started", "progress"):
            say(**{kind: field(frame, "id", str)})
        elif kind == "status":
            say(status=field(frame, "state", str), terminal_id=self.terminal_id)
        elif kind == "error":
            say(error=frame)
            if frame.get("code") in ("OVERLOADED", "STORAGE_FULL"):
                asyncio.get_running_loop().call_later(AGAIN_S, self.again, frame.get("ref"))
        elif kind == "hello":
            raise Invalid("hello came before")
        else:
            answer = error("UNSUPPORTED_MESSAGE", f"unknown frame type {kind!r}", frame.get("id"))
            await write_frame(self.socket, answer)

    def again(self, ref):
        """The terminal had no room: it and what was created after it is sent again, in order."""
        refused = self.db.execute("SELECT place FROM operations WHERE id = ?", [ref]).fetchone()
        if refused:
            later = self.db.execute("SELECT id FROM operations WHERE place >= ?",
                                    [refused["place"]])
            self.dispatched -= {row["id"] for row in later}
            self.cloud.start(self.dispatch())

    async def store(self, report):
        """On the disk before the ack; the first verdict of an operation wins."""
        epoch, seq = field(report, "store_epoch", str), field(report, "seq", int)
        report_id, kind = field(report, "report_id", str), report.get("kind")
        if seq == 0 or epoch != self.epoch:
            raise Invalid("want a seq from 1 on, of the epoch of hello")
        with self.db:
            self.db.execute("INSERT OR IGNORE INTO reports VALUES (?, ?, ?, ?, ?)",
                            [epoch, seq, self.terminal_id, report_id, json.dumps(report)])
            ident, status = report.get("id"), report.get("status")
            if kind == "operation" and isinstance(ident, str) and status in VERDICTS:
                # An id that this cloud did not mint began on the terminal, or was forgotten.
                self.db.execute(
                    "INSERT INTO operations (id, terminal_id, verdict) VALUES (?1, ?2, ?3)"
                    " ON CONFLICT (id) DO UPDATE SET verdict = ?3"
                    " WHERE verdict IS NULL AND terminal_id = ?2",
                    [ident, self.terminal_id, json.dumps(report)])
            acked = self.advance()
        say(report=report)
        await write_frame(self.socket, {"type": "ack", "store_epoch": epoch, "seq": acked})


class Cloud:
    def __init__(self, options):
        self.db = open_database(options.data, SCHEMA)
        self.heartbeat_s = options.heartbeat_s
        self.links = {}
        self.tasks = set()

    def start(self, coroutine):
        task = asyncio.ensure_future(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def serve(self, reader, writer):
        link = None
        try:
            socket = await websocket.accept(reader, writer, PATH, SUBPROTOCOL)
            if socket is None:
                return
            link = await self.greet(socket)
            socket.silence_s = 1.5 * self.heartbeat_s
            await link.dispatch()
            while True:
                await self.answer(link, await read_frame(socket))
        except (websocket.Closed, OSError, EOFError, asyncio.TimeoutError):
            pass
        finally:
            writer.close()
            if link and self.links.get(link.terminal_id) is link:
                del self.links[link.terminal_id]
                say(offline=link.terminal_id)

    async def greet(self, socket):
        """Waits for hello, checks who it is, takes the place of an older link."""
        subject = dict(pair for part in socket.writer.get_extra_info("peercert")["subject"]
                       for pair in part)
        try:
            hello = await asyncio.wait_for(self.hello(socket), 15)
        except asyncio.TimeoutError:
            await socket.fail(4408, "no hello within 15 s")
        if hello.get("protocol") != 1:
            await socket.fail(1008, "want protocol 1")
        if hello.get("terminal_id") != subject["commonName"]:
            await socket.fail(4403, "hello names another terminal than the certificate")
        try:
            link = Link(self, socket, hello)
        except Invalid as problem:
            await socket.fail(1007, str(problem))
        older = self.links.pop(link.terminal_id, None)
        if older:
            await older.socket.close(4409, "replaced")
        await link.welcome()
        # From now on operations may be sent.
        self.links[link.terminal_id] = link
        say(online=link.terminal_id)
        return link

    async def hello(self, socket):
        while True:
            frame = await read_frame(socket)
            if isinstance(frame, dict) and frame["type"] == "hello":
                return frame
            await write_frame(socket, error("NOT_WELCOMED", "want hello first"))

    async def answer(self, link, frame):
        try:
            await link.take(frame)
        except Invalid as problem:
            answer = error("INVALID_MESSAGE", str(problem), frame.get("id"))
            await write_frame(link.socket, answer)

    def create(self, order):
        """An operation is on the disk before anybody hears of it."""
        created_at, ttl_s = time.time(), order.get("ttl_s", 900)
        deadline_s = order.get("deadline_s", 300)
        frame = {"type": "operation", "id": str(uuid.uuid4()), "operation": order["dispatch"],
                 "parameters": order.get("parameters", {}), "created_at": time_text(created_at),
                 "created_by": "cloud.py", "deadline_s": deadline_s,
                 "not_after": time_text(created_at + ttl_s + deadline_s + DAY_S)}
        with self.db:
            self.db.execute("INSERT INTO operations (id, terminal_id, frame, created_at, ttl_s)"
                            " VALUES (?, ?, ?, ?, ?)", [frame["id"], order["terminal_id"],
                                                        json.dumps(frame), created_at, ttl_s])
        say(created=frame["id"])

    async def obey(self, order):
        if "dispatch" in order:
            self.create(order)
        elif "cancel" in order:
            with self.db:
                self.db.execute("UPDATE operations SET cancelled = 1 WHERE id = ?",
                                [order["cancel"]])
        elif "cut" in order and order["cut"] in self.links:
            self.links[order["cut"]].socket.cut()
        elif "show" in order:
            row = self.db.execute("SELECT verdict FROM operations WHERE id = ?",
                                  [order["show"]]).fetchone()
            count = self.db.execute("SELECT count(DISTINCT report_id) FROM reports"
                                    " WHERE frame LIKE ?", [f'%"id": "{order["show"]}"%'])
            say(shown=order["show"], verdict=row and json.loads(row["verdict"] or "null"),
                reports=count.fetchone()[0])
        for link in list(self.links.values()):
            try:
                await link.dispatch()
            except websocket.Closed:
                pass


async def main(options):
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=options.client_ca)
    tls.load_cert_chain(options.certificate, options.key)
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.set_alpn_protocols(["http/1.1"])
    cloud = Cloud(options)
    server = await asyncio.start_server(cloud.serve, "127.0.0.1", options.port, ssl=tls,
                                        limit=websocket.HEAD_BYTES_MAX)
    say(listening=server.sockets[0].getsockname()[1])
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        try:
            await cloud.obey(json.loads(line))
        except (ValueError, KeyError, TypeError) as problem:
            say(not_an_order=repr(problem))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("data", "certificate", "key", "client-ca"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--heartbeat-s", type=int, default=30)
    asyncio.run(main(parser.parse_args()))
