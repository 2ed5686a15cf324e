"""A terminal's memory and its operations, written from agent/PROTOCOL.md alone.

There is no payment application: its memory is the table `effects`, where each close is one
durable write.
"""

import asyncio
import json
import os
import time
import uuid

import websocket
from common import error, field, id_field, open_database, say, seconds_of, time_text, write_frame

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value);
CREATE TABLE IF NOT EXISTS operations (
    place INTEGER PRIMARY KEY, id TEXT UNIQUE, frame TEXT, expires_at REAL, not_after REAL,
    failure TEXT, attempt INTEGER DEFAULT 0, started_at REAL, seq INTEGER);
CREATE TABLE IF NOT EXISTS reports (
    seq INTEGER PRIMARY KEY, report_id TEXT, body TEXT, acked INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS effects (id TEXT, at REAL);
"""
PARAMETERS = {"end_of_day": {"operator_id"}, "check_update": {"channel"},
              "open_menu": {"menu", "timeout_s"}}
ATTEMPTS_MAX, IN_FLIGHT_MAX, UNFINISHED_MAX, AHEAD_S_MAX = 3, 64, 512, (30 * 24 + 1) * 3600


def boottime():
    """Seconds on a clock that includes suspend."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Failed(Exception):
    def __init__(self, code, reason, side_effects="none", retry_after_s=None):
        super().__init__(reason)
        self.body = {"code": code, "failure_reason": reason, "side_effects": side_effects,
                     "retryable": code in ("BUSY_OPERATION", "INTERRUPTED")}
        if retry_after_s is not None:
            self.body["retry_after_s"] = retry_after_s


class Terminal:
    """What outlives a link: the store, and the one operation that runs."""

    def __init__(self, options):
        self.options, self.db = options, open_database(options.data, SCHEMA)
        self.boot_id = open("/proc/sys/kernel/random/boot_id", encoding="ascii").read().strip()
        # Set while a link is welcomed: its socket, and the highest report sent on it.
        self.socket, self.sent = None, 0
        self.cloud_offset = self.rejected_revision = None
        self.ready = asyncio.Event()
        with self.db:
            self.db.execute("INSERT OR IGNORE INTO meta VALUES ('epoch', ?), ('seq', 0)",
                            [str(uuid.uuid4())])

    def meta(self, name):
        return self.one("SELECT value FROM meta WHERE name = ?", name)["value"]

    def one(self, sql, *values):
        return self.db.execute(sql, values).fetchone()

    def cloud_time(self):
        """The cloud's clock; None before the first welcome of this process."""
        return None if self.cloud_offset is None else self.cloud_offset + boottime()

    async def send(self, frame):
        """Over the link, if there is one."""
        try:
            if self.socket:
                await write_frame(self.socket, frame)
        except websocket.Closed:
            pass

    # Operations

    async def take(self, frame):
        """The intent is on the disk before `accepted` says so."""
        frame = {"parameters": {}, "policy": {}, **frame}
        field(frame, "parameters", dict), field(frame, "policy", dict)
        ident, kind = id_field(frame, "id"), field(frame, "operation", str)
        ttl_s, _ = field(frame, "ttl_s", int), field(frame, "deadline_s", int)
        not_after = seconds_of(field(frame, "not_after", str))
        seconds_of(field(frame, "created_at", str))
        known = self.one("SELECT seq FROM operations WHERE id = ?", ident)
        if known and known["seq"]:
            return await self.send_report(known["seq"])
        if known:
            return await self.send({"type": "accepted", "id": ident, "duplicate": True})
        waiting = self.one("SELECT count(*) AS n FROM operations WHERE seq IS NULL")["n"]
        if waiting >= UNFINISHED_MAX:
            return await self.send(error("OVERLOADED", f"{waiting} without a verdict", ident))
        try:
            failure = self.check(frame, kind, not_after, waiting)
        except Failed as failed:
            failure = failed.body
        with self.db:
            self.db.execute(
                "INSERT INTO operations (id, frame, expires_at, not_after, failure)"
                " VALUES (?, ?, ?, ?, ?)",
                [ident, json.dumps(frame), self.cloud_time() + ttl_s, not_after,
                 failure and json.dumps(failure)])
        await self.send({"type": "accepted", "id": ident, "duplicate": False})
        await self.finish_failed()
        self.ready.set()

    async def finish_failed(self):
        """What failed when it was taken has its verdict without a turn."""
        for row in self.db.execute("SELECT id, failure FROM operations WHERE seq IS NULL"
                                   " AND failure IS NOT NULL ORDER BY place").fetchall():
            await self.finish(row["id"], failure=json.loads(row["failure"]))

    def check(self, frame, kind, not_after, waiting):
        """What fails at once, in the order of the reference."""
        ahead = not_after - self.cloud_time()
        if ahead < 0:
            raise Failed("EXPIRED", "not_after has passed", "unknown")
        if ahead > AHEAD_S_MAX:
            raise Failed("INVALID_PARAMETERS", "not_after: want at most 30 d ahead")
        if kind not in PARAMETERS:
            raise Failed("UNSUPPORTED_OPERATION", f"this terminal has no {kind}"[:256])
        unknown = set(frame["parameters"]) - PARAMETERS[kind]
        if unknown:
            raise Failed("INVALID_PARAMETERS", f"unknown parameter {min(unknown)}"[:256])
        if frame["ttl_s"] == 0:
            raise Failed("EXPIRED", "ttl_s is 0")
        if frame.get("first_epoch") not in (None, self.meta("epoch")) and kind == "open_menu":
            raise Failed("OUTCOME_UNKNOWN", "the memory of this terminal was lost", "unknown")
        if waiting and frame["policy"].get("if_busy") == "reject":
            raise Failed("BUSY_OPERATION", "another operation is not finished", retry_after_s=5)

    async def work(self):
        """One operation at a time, in the order in which they were taken."""
        await self.finish_failed()
        while True:
            row = self.one("SELECT * FROM operations WHERE seq IS NULL AND failure IS NULL"
                           " ORDER BY place LIMIT 1")
            if not row or self.cloud_time() is None:
                self.ready.clear()
                await self.ready.wait()
                continue
            try:
                await self.finish(row["id"], result=await self.run(row))
            except Failed as failure:
                await self.finish(row["id"], failure=failure.body)

    async def run(self, row):
        frame, attempt = json.loads(row["frame"]), row["attempt"] + 1
        kind, again = frame["operation"], attempt > 1
        if self.cloud_time() >= row["expires_at"] and not again:
            raise Failed("EXPIRED", "its time to live has passed")
        if again and (kind == "open_menu" or attempt > ATTEMPTS_MAX):
            raise Failed("INTERRUPTED", "the terminal was cut off in the middle", "unknown")
        with self.db:
            self.db.execute("UPDATE operations SET attempt = ?,"
                            " started_at = coalesce(started_at, ?) WHERE id = ?",
                            [attempt, time.time(), row["id"]])
        await self.send({"type": "started", "id": row["id"], "attempt": attempt})
        say(started=row["id"], attempt=attempt)
        deadline_s = min(max(frame["deadline_s"], 1), 86400)
        try:
            return await asyncio.wait_for(getattr(self, kind)(row["id"]), deadline_s)
        except asyncio.TimeoutError as late:
            effects = "none" if kind == "check_update" else "unknown"
            raise Failed("DEADLINE_EXCEEDED", f"not within {deadline_s} s", effects) from late

    async def end_of_day(self, ident):
        """Asks first what became of this id: a batch is closed once."""
        if not self.one("SELECT 1 FROM effects WHERE id = ?", ident):
            await self.send({"type": "progress", "id": ident, "phase": "closing"})
            while os.path.exists(self.options.payment):
                await asyncio.sleep(0.01)
            with self.db:
                self.db.execute("INSERT INTO effects VALUES (?, ?)", [ident, time.time()])
            say(closed=ident)
        closed = self.one("SELECT rowid, at FROM effects WHERE id = ?", ident)
        return {"outcome": "closed", "batch_id": f"B{closed['rowid']:04}", "currency": "NOK",
                "start_of_day_at": time_text(closed["at"] - 3600),
                "end_of_day_at": time_text(closed["at"]),
                "purchases_count": 2, "purchases_amount": 20000, "reversals_count": 0,
                "reversals_amount": 0, "sale_amount": 19000, "tip_amount": 1000,
                "offline": {"forwarded": 0, "declined": 0, "pending_count": 0, "pending_amount": 0}}

    async def check_update(self, _ident):
        return {"available": False, "current": [{"component": "application", "version": "1.0"}],
                "updates": [], "checked_at": time_text(time.time())}

    async def open_menu(self, _ident):
        return {"opened_at": time_text(time.time()), "shown": True}

    async def cancel(self, ident):
        row = self.one("SELECT attempt, seq FROM operations WHERE id = ?", ident)
        if not row:
            await self.send(error("UNKNOWN_OPERATION", "never taken, or forgotten", ident))
        elif row["seq"]:
            await self.send_report(row["seq"])
        elif not row["attempt"]:
            # Once it runs it is too late: a close cannot be stopped half way.
            canceled = Failed("CANCELED", "withdrawn by the cloud")
            await self.finish(ident, failure=canceled.body)

    # Reports

    async def finish(self, ident, result=None, failure=None):
        """The verdict, once: beside the operation, in one commit."""
        row = self.one("SELECT * FROM operations WHERE id = ? AND seq IS NULL", ident)
        if not row:
            return
        started_at, name = row["started_at"], json.loads(row["frame"])["operation"]
        duration_ms = int((time.time() - started_at) * 1000) if started_at else 0
        await self.report({
            "kind": "operation", "id": ident, "operation": name[:64],
            "status": "FAILED" if failure else "COMPLETED", "result": result,
            "error": failure, "started_at": started_at and time_text(started_at),
            "finished_at": time_text(time.time()), "duration_ms": max(duration_ms, 0),
            "attempt": row["attempt"], "boot_id": self.boot_id, "clock_trusted": False,
            "origin": "cloud"}, ident)
        say(finished=ident, error=failure and failure["code"])

    async def report(self, body, ident=None):
        seq = self.meta("seq") + 1
        with self.db:
            self.db.execute("UPDATE meta SET value = ? WHERE name = 'seq'", [seq])
            self.db.execute("INSERT INTO reports (seq, report_id, body) VALUES (?, ?, ?)",
                            [seq, str(uuid.uuid4()), json.dumps(body)])
            self.db.execute("UPDATE operations SET seq = ? WHERE id = ?", [seq, ident])
        await self.send_waiting()

    async def send_waiting(self):
        """Unacked reports in order, a bounded number on the way."""
        if not self.socket:
            return
        acked = self.one("SELECT min(seq) AS seq FROM reports WHERE NOT acked")["seq"] or 0
        for row in self.db.execute("SELECT seq FROM reports WHERE NOT acked AND seq > ? AND seq < ?"
                                   " ORDER BY seq", [self.sent, acked + IN_FLIGHT_MAX]).fetchall():
            self.sent = row["seq"]
            await self.send_report(row["seq"])

    async def send_report(self, seq):
        row = self.one("SELECT * FROM reports WHERE seq = ?", seq)
        if row["acked"] or seq <= self.sent:
            await self.send({"type": "report", "seq": seq, "store_epoch": self.meta("epoch"),
                             "report_id": row["report_id"], **json.loads(row["body"])})

    def acked(self, seq):
        """Verdicts are remembered until not_after has passed, so that an id never runs twice."""
        with self.db:
            self.db.execute("UPDATE reports SET acked = 1 WHERE seq <= ?", [seq])
            self.db.execute("DELETE FROM operations WHERE not_after < ? AND seq IN"
                            " (SELECT seq FROM reports WHERE acked)", [self.cloud_time()])
            self.db.execute("DELETE FROM reports WHERE acked AND seq NOT IN"
                            " (SELECT seq FROM operations WHERE seq IS NOT NULL)")

    def new_epoch(self):
        """The cloud knows another past: everything that is still held gets a new number."""
        with self.db:
            held = self.db.execute("SELECT seq FROM reports ORDER BY seq").fetchall()
            for new, row in enumerate(held, 1):
                for table in ("reports", "operations"):
                    self.db.execute(f"UPDATE {table} SET seq = ? WHERE seq = ?", [-new, row["seq"]])
            self.db.execute("UPDATE reports SET seq = -seq, acked = 0")
            self.db.execute("UPDATE operations SET seq = -seq WHERE seq < 0")
            self.db.execute("UPDATE meta SET value = ? WHERE name = 'seq'", [len(held)])
            self.db.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", [str(uuid.uuid4())])

    async def configure(self, revision):
        """A terminal without settings refuses every configuration, each one once."""
        if revision not in (0, self.rejected_revision):
            self.rejected_revision = revision
            await self.report({"kind": "configuration", "revision": revision, "status": "REJECTED",
                               "errors": [{"path": "config", "code": "UNKNOWN_SETTING",
                                           "message": "this terminal has no settings"}]})
