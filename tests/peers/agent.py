#!/usr/bin/env python3
"""A minimal terminal, written from agent/PROTOCOL.md alone with the standard library.

usage: agent.py --data FILE --url wss://HOST:PORT/PATH --ca PEM --certificate PEM --key PEM
                --terminal-id ID [--payment FILE] [--reconnect-base-s N]

It closes batches (end_of_day), looks for updates (check_update) and opens menus (open_menu), and
says what happens as JSON lines on standard output. As long as the file of --payment exists, a
payment is in progress and a close waits. This file is the link; terminal.py runs things.
"""

import argparse
import asyncio
import random
import ssl
import time
from urllib.parse import urlsplit

import websocket
from common import (SUBPROTOCOL, Invalid, error, field, id_field, read_frame, say, seconds_of,
                    time_text, write_frame)
from terminal import PARAMETERS, UNFINISHED_MAX, Terminal, boottime

REFUSED = (1008, 4401, 4403)


class Reconnect(Exception):
    """The cloud drains."""

    def __init__(self, wait_s):
        super().__init__()
        self.wait_s = wait_s


class Link:
    """One connection: hello, welcome, and what comes after."""

    def __init__(self, terminal, socket, session_id):
        self.terminal, self.socket, self.session_id = terminal, socket, session_id
        self.up_since = None
        # The oldest report on the way, and since when it is that one.
        self.awaited = (None, 0.0)

    async def run(self):
        await write_frame(self.socket, self.hello())
        try:
            welcome = await asyncio.wait_for(self.welcome(), 15)
        except asyncio.TimeoutError:
            await self.socket.fail(4408, "no welcome within 15 s")
        heartbeat_s = min(max(field(welcome, "heartbeat_s", int), 5), 3600)
        self.socket.silence_s = 1.5 * heartbeat_s
        heart = asyncio.ensure_future(self.beat(heartbeat_s))
        try:
            await self.begin(welcome)
            while True:
                await self.answer(await read_frame(self.socket))
        finally:
            heart.cancel()
            self.terminal.socket = None

    async def welcome(self):
        while True:
            frame = await read_frame(self.socket)
            if frame["type"] == "welcome":
                return frame
            if frame["type"] not in ("reconnect", "error"):
                await write_frame(self.socket, error("NOT_WELCOMED", "want welcome first"))
            else:
                await self.answer(frame)

    async def begin(self, welcome):
        """The cloud's time, what it has, and then everything that it has not."""
        terminal, seq = self.terminal, field(welcome, "ack_seq", int)
        terminal.cloud_offset = seconds_of(field(welcome, "server_time", str)) - boottime()
        mine = terminal.one("SELECT report_id FROM reports WHERE seq = ?", seq)
        theirs = welcome.get("ack_report_id")
        if seq > terminal.meta("seq") or (mine and theirs and mine["report_id"] != theirs):
            terminal.new_epoch()
            await self.socket.fail(1000, "new epoch")
        terminal.acked(seq)
        self.up_since = time.monotonic()
        self.session_id = field(welcome, "session_id", str)
        terminal.socket, terminal.sent = self.socket, seq
        say(online=self.session_id)
        await terminal.send(self.status())
        await terminal.send_waiting()
        terminal.ready.set()

    async def beat(self, heartbeat_s):
        """A ping every half heartbeat, a status with every second one."""
        try:
            while True:
                for due in (False, True):
                    await asyncio.sleep(heartbeat_s / 2)
                    await self.socket.ping()
                    if due:
                        await self.terminal.send(self.status())
                    if self.acks_are_overdue():
                        await self.socket.close(1001, "no progress of acks")
        except websocket.Closed:
            pass

    def acks_are_overdue(self):
        """Whether the same report has been the oldest on the way for a minute."""
        oldest = self.terminal.one("SELECT min(seq) AS seq FROM reports WHERE NOT acked")["seq"]
        if oldest != self.awaited[0]:
            self.awaited = (oldest, time.monotonic())
        return oldest is not None and time.monotonic() - self.awaited[1] >= 60

    async def answer(self, frame):
        if isinstance(frame, bytes):
            return
        try:
            await self.take(frame)
        except Invalid as problem:
            await write_frame(self.socket, error("INVALID_MESSAGE", str(problem), frame.get("id")))

    async def take(self, frame):
        terminal, kind = self.terminal, frame["type"]
        if kind == "operation":
            await terminal.take(frame)
        elif kind == "ack":
            epoch, seq = field(frame, "store_epoch", str), field(frame, "seq", int)
            if epoch != terminal.meta("epoch") or seq > terminal.sent:
                return await write_frame(self.socket, error("INVALID_ACK", "nothing deleted", seq))
            terminal.acked(seq)
            await terminal.send_waiting()
        elif kind == "cancel":
            await terminal.cancel(id_field(frame, "id"))
        elif kind == "configuration":
            await terminal.configure(field(frame, "revision", int))
        elif kind == "reconnect":
            frame = {"spread_s": 0, **frame}
            after_s, spread_s = (min(field(frame, name, int), 3600)
                                 for name in ("after_s", "spread_s"))
            await self.socket.close(1000, "reconnect")
            raise Reconnect(after_s + random.uniform(0, spread_s))
        elif kind == "error":
            say(error=frame)
        elif kind == "welcome":
            raise Invalid("welcome came before")
        else:
            answer = error("UNSUPPORTED_MESSAGE", f"unknown frame type {kind!r}", frame.get("id"))
            await write_frame(self.socket, answer)

    def hello(self):
        terminal = self.terminal
        first = terminal.one("SELECT min(seq) AS seq FROM reports WHERE NOT acked")["seq"]
        last = terminal.meta("seq")
        rows = terminal.db.execute("SELECT id, attempt FROM operations WHERE seq IS NULL")
        states = ("accepted", "started")
        return {
            "type": "hello", "protocol": 1, "terminal_id": terminal.options.terminal_id,
            "serial_number": "PY-1", "model": "python", "agent_version": "0.1",
            "software_version": "1.0", "boot_id": terminal.boot_id,
            "store_epoch": terminal.meta("epoch"), "session_id": self.session_id,
            "operations": list(PARAMETERS),
            "unfinished": [{"id": row["id"], "state": states[row["attempt"] > 0]} for row in rows],
            "outbox": {"first_seq": first or last + 1, "last_seq": last},
            "caps": {"unfinished": UNFINISHED_MAX, "unacked": 16384, "frame_bytes": 65536},
            "locked": False, "config_revision": 0, "clock": clock()}

    def status(self):
        terminal = self.terminal
        rows = terminal.db.execute("SELECT id, attempt FROM operations WHERE seq IS NULL"
                                   " ORDER BY place").fetchall()
        running = [row["id"] for row in rows if row["attempt"]]
        unacked = terminal.one("SELECT count(*) AS n FROM reports WHERE NOT acked")["n"]
        status = {"type": "status", "observed_at": time_text(time.time()),
                  "boot_id": terminal.boot_id, "uptime_ms": int(boottime() * 1000),
                  "state": "operation" if running else "idle",
                  "needs_attention": ["CLOCK_UNTRUSTED"], "software_version": "1.0",
                  "queued": len(rows) - len(running), "unacked": unacked, "config_revision": 0,
                  "clock": clock(), "battery_level": None, "power": None, "network": None,
                  "storage_free_bytes": None, "printer": "absent", "offline_queue": None,
                  "batch": None}
        return {**status, "active_operation": running[0]} if running else status


def clock():
    return {"now": time_text(time.time()), "trusted": False, "source": "system"}


class Windows:
    """One attempt in every window, always at the same place in it."""

    def __init__(self, base_s):
        self.base_s, self.failures = base_s, 0
        self.place = random.random()
        self.window_s = base_s

    def first(self):
        self.place = random.random()
        self.window_s = min(self.base_s * 1.5 ** self.failures, 300)
        return self.place * self.window_s

    def next(self):
        rest_s = (1 - self.place) * self.window_s
        self.failures += 1
        self.window_s = min(self.base_s * 1.5 ** self.failures, 300)
        return rest_s + self.place * self.window_s


async def keep_linked(terminal, options):
    """Links, and links again for ever: that the cloud is away ends nothing."""
    url, windows, session_id = urlsplit(options.url), Windows(options.reconnect_base_s), None
    wait_s = windows.first()
    while True:
        await asyncio.sleep(wait_s)
        link = None
        try:
            tls = ssl.create_default_context(cafile=options.ca)
            tls.load_cert_chain(options.certificate, options.key)
            tls.set_alpn_protocols(["http/1.1"])
            socket = await websocket.connect(url.hostname, url.port or 443, url.path, tls,
                                             SUBPROTOCOL, {})
            link = Link(terminal, socket, session_id)
            await link.run()
        except (OSError, EOFError, asyncio.TimeoutError, Invalid, websocket.Closed,
                websocket.Refused, Reconnect) as end:
            say(offline=str(end) or type(end).__name__)
            wait_s = wait_after(end, link, windows)
        session_id = link.session_id if link else session_id


def wait_after(end, link, windows):
    """The table of section 14."""
    if isinstance(end, Reconnect):
        return end.wait_s
    if isinstance(end, websocket.Closed) and end.code == 4409:
        return random.uniform(300, 600)
    is_refused = isinstance(end, websocket.Closed) and end.code in REFUSED
    if is_refused or (isinstance(end, websocket.Refused) and end.status in (101, 401, 403)):
        windows.failures += 1
        return 60 + random.uniform(0, min(120 * 1.5 ** windows.failures, 3600) - 60)
    if not link or not link.up_since:
        return windows.next()
    if time.monotonic() - link.up_since >= 60:
        windows.failures = 0
    return windows.first()


async def main(options):
    terminal = Terminal(options)
    await asyncio.gather(terminal.work(), keep_linked(terminal, options))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("data", "url", "ca", "certificate", "key", "terminal-id"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--payment", default="")
    parser.add_argument("--reconnect-base-s", type=float, default=2)
    asyncio.run(main(parser.parse_args()))
