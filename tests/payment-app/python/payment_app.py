#!/usr/bin/env python3
"""A small payment application, written from hal/VENDOR.md alone with the standard library.

It shows what an implementation needs and proves that the specification is enough. There is no
acquirer: its memory, a JSON file, is the host as well, so that a close is one durable write.

usage: payment_app.py --socket PATH --state FILE
"""

import argparse
import hashlib
import json
import os
import socket
import struct
import sys
import threading
import time
import uuid
from datetime import datetime, timezone

FRAME_BYTES_MAX = 262144
WRITE_S_MAX = 10
CLOSES_MAX = 64
BATCHES_MAX = 30
MENUS = ("settings", "network", "reports", "diagnostics")


class RpcError(Exception):
    """An error object of JSON-RPC."""

    def __init__(self, code, message, data=None):
        super().__init__(message)
        self.body = {"code": code, "message": message}
        if data is not None:
            self.body["data"] = data


def failed(code, message, side_effects="none"):
    """The operation failed; nothing has happened, if not said otherwise."""
    return RpcError(-32000, message, {"code": code, "side_effects": side_effects})


def invalid(message):
    return RpcError(-32602, message)


def now():
    text = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def is_integer(value):
    return isinstance(value, int) and not isinstance(value, bool)


def integer(params, name, least, most, default=None):
    value = params.get(name, default)
    if not is_integer(value) or not least <= value <= most:
        raise invalid(f"{name}: got {value!r}, want an integer from {least} to {most}")
    return value


def choice(params, name, known, default=None):
    value = params.get(name, default)
    if value not in known:
        raise invalid(f"{name}: got {value!r}, want one of {', '.join(known)}")
    return value


def boolean(params, name, default=None):
    value = params.get(name, default)
    if not isinstance(value, bool):
        raise invalid(f"{name}: got {value!r}, want true or false")
    return value


def text(params, name, most):
    value = params.get(name)
    if value is not None and not (isinstance(value, str) and 1 <= len(value) <= most):
        raise invalid(f"{name}: want 1 to {most} characters")
    return value


def known_only(params, names):
    for name in params:
        if name not in names:
            raise invalid(f"{name}: unknown")


def operation(params):
    try:
        return str(uuid.UUID(params.get("operation_id")))
    except (ValueError, AttributeError, TypeError):
        raise invalid("operation_id: want a UUID") from None


def parameters(params):
    integer(params, "attempt", 1, 2**32)
    integer(params, "time_left_ms", 0, 2**53)
    value = params.get("parameters")
    if not isinstance(value, dict):
        raise invalid("parameters: want an object")
    return value


class Memory:
    """What survives a restart. Replaced as a whole, durable when `save` returns."""

    def __init__(self, path):
        self.path = path
        try:
            with open(path, encoding="utf-8") as file:
                self.data = json.load(file)
        except FileNotFoundError:
            self.data = {
                "starts": 0, "lock": None, "revision": 0, "config": {}, "closes": {}, "closed": [],
                "batch": {"number": 1, "opened_at": now(), "payments": []},
            }
        self.data["starts"] += 1
        # Customers come all the time.
        self.data["batch"]["payments"].append({"scheme": "visa", "sale": 12500, "tip": 1500})
        self.save()

    def save(self):
        beside = self.path + ".new"
        with open(beside, "w", encoding="utf-8") as file:
            json.dump(self.data, file)
            file.flush()
            os.fsync(file.fileno())
        os.rename(beside, self.path)
        directory = os.open(os.path.dirname(os.path.abspath(self.path)), os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)


class Request:
    """A request that runs."""

    def __init__(self, connection, identity, turn):
        self.connection, self.identity, self.turn = connection, identity, turn
        self.is_cancelled = False

    def should_stop(self):
        return self.is_cancelled or self.connection.is_closed

    def progress(self, phase, percent):
        params = {"request": self.identity, "phase": phase, "percent": percent}
        self.connection.send({"jsonrpc": "2.0", "method": "progress", "params": params})


class Application:
    """The payment application. Everything happens under one lock."""

    def __init__(self, memory):
        self.memory = memory
        self.changed = threading.Condition()
        self.instance = f"start-{memory.data['starts']}-{uuid.uuid4().hex[:8]}"
        self.hold = None
        self.closing = None
        self.menu, self.menu_closes_at = None, 0
        self.message = None
        self.methods = {
            "payments.activity": self.activity,
            "payments.hold": self.take_hold,
            "payments.release": self.release,
            "payments.close": self.close,
            "payments.query_close": self.query_close,
            "payments.set_locked": self.set_locked,
            "payments.apply_settings": self.apply_settings,
            "screen.open_menu": self.open_menu,
            "screen.show_message": self.show_message,
            "health.read": self.health,
        }

    def hello(self, params):
        if params.get("protocol") != 1:
            raise failed("UNSUPPORTED_VERSION", "this application speaks protocol 1")
        return {
            "protocol": 1, "application": "Python example", "application_version": "1.0.0",
            "instance": self.instance, "capabilities": ["payments", "screen", "health"],
        }

    # No customer ever stands in front of this terminal for longer than a moment.
    def activity(self, _request, _params):
        return {"activity": "idle"}

    def held_by(self):
        if self.hold and self.hold["until"] <= time.monotonic():
            self.hold = None
        return self.hold["id"] if self.hold else None

    def take_hold(self, request, params):
        identity, how = operation(params), parameters(params)
        lease = integer(how, "lease_ms", 0, 2**53) / 1000
        policy = choice(how, "if_payment_active", ("reject", "wait", "cancel"))
        deadline = time.monotonic() + integer(how, "wait_max_ms", 0, 2**53) / 1000
        while self.held_by() not in (None, identity) or self.closing not in (None, identity):
            left = deadline - time.monotonic()
            if policy == "reject" or left <= 0:
                raise failed("BUSY_PAYMENT", "another operation has the terminal")
            # A lease ends without anybody saying so.
            until = self.hold["until"] - time.monotonic() if self.hold else left
            self.changed.wait(max(0.001, min(left, until)))
            if request.should_stop():
                raise failed("CANCELED", "cancelled before anything happened")
        self.hold = {"id": identity, "until": time.monotonic() + lease}
        return {}

    def release(self, _request, params):
        identity = operation(params)
        if self.held_by() == identity:
            self.hold = None
            self.changed.notify_all()
        return {}

    def close(self, request, params):
        identity, what = operation(params), parameters(params)
        known_only(what, ("mode", "batch_id", "operator_id", "offline_pending", "flush_timeout_s",
                          "print_report"))
        mode = choice(what, "mode", ("close", "report", "previous"), "close")
        wanted = text(what, "batch_id", 64)
        text(what, "operator_id", 64)
        choice(what, "offline_pending", ("flush", "carry", "fail"), "flush")
        integer(what, "flush_timeout_s", 0, 300, 60)
        boolean(what, "print_report", False)
        data = self.memory.data
        if mode == "report":
            return self.totals("report")
        if mode == "previous":
            return self.closed_batch(wanted)
        known = data["closes"].get(identity)
        if known and known["state"] == "finished":
            return known["result"]
        if self.closing == identity:
            raise failed("BUSY_OPERATION", "this close is running", "unknown")
        if self.closing or self.held_by() not in (None, identity):
            raise failed("BUSY_OPERATION", "another operation has the terminal")
        if wanted is not None and wanted != self.batch_id():
            return self.closed_batch(wanted)
        # Durable before the first effect.
        data["closes"][identity] = {"state": "started"}
        while len(data["closes"]) > CLOSES_MAX:
            del data["closes"][next(iter(data["closes"]))]
        self.memory.save()
        self.closing = identity
        try:
            return self.reach_host(request, identity)
        finally:
            self.closing = None
            self.changed.notify_all()

    def reach_host(self, request, identity):
        # A close goes on when its connection ends: only a cancellation stops it.
        for percent in (20, 40, 60, 80):
            request.progress("closing", percent)
            self.changed.wait(0.01)
            if request.is_cancelled:
                raise self.given_up(identity, failed("CANCELED", "cancelled before the host"))
        data = self.memory.data
        if not data["batch"]["payments"]:
            result = self.totals("empty")
        else:
            number = data["batch"]["number"] + 1
            result = self.totals("closed")
            result.update(next_batch_id=f"{number:06}", end_of_day_at=now())
            data["closed"].append(result)
            del data["closed"][:-BATCHES_MAX]
            data["batch"] = {"number": number, "opened_at": now(), "payments": []}
        data["closes"][identity] = {"state": "finished", "result": result}
        # The one definite point: closed and remembered, or neither.
        self.memory.save()
        return result

    def given_up(self, identity, error):
        failure = {"message": error.body["message"], **error.body["data"]}
        self.memory.data["closes"][identity] = {"state": "failed", "failure": failure}
        self.memory.save()
        return error

    def batch_id(self):
        return f"{self.memory.data['batch']['number']:06}"

    def totals(self, outcome):
        batch, closed = self.memory.data["batch"], self.memory.data["closed"]
        sale = sum(payment["sale"] for payment in batch["payments"])
        tip = sum(payment["tip"] for payment in batch["payments"])
        count = len(batch["payments"])
        result = {
            "outcome": outcome, "batch_id": self.batch_id(), "currency": "NOK",
            "start_of_day_at": batch["opened_at"],
            "purchases_count": count, "purchases_amount": sale + tip,
            "reversals_count": 0, "reversals_amount": 0, "sale_amount": sale, "tip_amount": tip,
            "totals": [{"scheme": "visa", "currency": "NOK", "type": "purchase", "count": count,
                        "amount": sale + tip}],
            "offline": {"forwarded": 0, "declined": 0, "pending_count": 0, "pending_amount": 0},
        }
        if closed:
            result["last_end_of_day_at"] = closed[-1]["end_of_day_at"]
        return result

    def closed_batch(self, wanted):
        for batch in reversed(self.memory.data["closed"]):
            if wanted in (None, batch["batch_id"]):
                return {**batch, "outcome": "already_closed"}
        raise failed("BATCH_NOT_FOUND", f"no closed batch {wanted or 'at all'}")

    def query_close(self, _request, params):
        identity = operation(params)
        known = self.memory.data["closes"].get(identity)
        if self.closing == identity:
            return {"state": "running"}
        # Begun and cut off: nothing has happened, because what happens is one write.
        if known is None or known["state"] == "started":
            return {"state": "not_started"}
        return known

    def set_locked(self, _request, params):
        operation(params)
        how = parameters(params)
        wanted = boolean(how, "locked")
        text(how, "reason", 128)
        message = text(how, "message", 60)
        boolean(how, "finish_active_payment", True)
        clear = boolean(how, "clear_on_reboot", False)
        before = self.memory.data["lock"]
        lock = None
        if wanted:
            since = before["since"] if before else now()
            weakens = before and not before["clear_on_reboot"]
            lock = {"since": since, "message": message, "clear_on_reboot": clear and not weakens}
        self.memory.data["lock"] = lock
        self.memory.save()
        result = {"locked": wanted, "changed": bool(before) != wanted, "pending_offline": 0}
        if lock:
            result["locked_at"] = lock["since"]
        return result

    def apply_settings(self, _request, params):
        operation(params)
        wanted = parameters(params)
        revision = integer(wanted, "revision", 1, 2**64 - 1)
        config = wanted.get("config")
        if not isinstance(config, dict):
            raise invalid("config: want an object")
        data = self.memory.data
        if revision < data["revision"]:
            raise failed("REVISION_STALE", f"revision {data['revision']} is in force")
        problems = [
            {"path": name[:64], "code": "UNKNOWN_SETTING", "message": "want display"}
            for name in config if name != "display"
        ]
        display = config.get("display")
        if display is not None and not isinstance(display, dict):
            problems.append({"path": "display", "code": "WRONG_TYPE", "message": "want an object"})
        if problems:
            return {"status": "rejected", "problems": problems[:32]}
        changed = [name for name in sorted({*config, *data["config"]})
                   if config.get(name) != data["config"].get(name)]
        data.update(revision=revision, config=config)
        self.memory.save()
        digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
        result = {"revision": revision, "sha256": digest, "applied": changed[:64]}
        return {"status": "applied", "result": result}

    def open_menu(self, _request, params):
        operation(params)
        what = parameters(params)
        known_only(what, ("menu", "timeout_s"))
        choice(what, "menu", MENUS, "settings")
        integer(what, "timeout_s", 10, 600, 120)
        self.menu = what.get("menu", "settings")
        self.menu_closes_at = time.monotonic() + what.get("timeout_s", 120)
        return {"opened_at": now(), "shown": True}

    def show_message(self, _request, params):
        self.message = text(params, "message", 60)
        return {}

    def screen(self):
        if time.monotonic() < self.menu_closes_at:
            return {"showing": "menu", "text": self.menu}
        if self.message:
            return {"showing": "message", "text": self.message}
        return {"showing": "locked" if self.memory.data["lock"] else "idle"}

    def health(self, _request, _params):
        batch = self.memory.data["batch"]
        return {
            "screen": self.screen(), "printer": "absent", "power": "mains", "locked": self.memory.data["lock"] is not None,
            "batch": {"id": self.batch_id(), "opened_at": batch["opened_at"],
                      "count": len(batch["payments"])},
        }


class Connection:
    """One connection: a reader, and a thread for every request."""

    def __init__(self, application, stream):
        self.application, self.stream = application, stream
        self.is_closed = False
        self.is_greeted = False
        self.running = {}
        self.received = 0
        self.begun = 0
        self.writing = threading.Lock()
        limit = struct.pack("ll", WRITE_S_MAX, 0)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def close(self):
        self.shut_down()
        self.reader.join()

    def send(self, message):
        line = json.dumps(message).encode() + b"\n"
        with self.writing:
            try:
                self.stream.sendall(line)
            except OSError:
                self.shut_down()

    def shut_down(self):
        try:
            self.stream.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def answer(self, identity, body):
        self.send({"jsonrpc": "2.0", "id": identity, **body})

    def read(self):
        try:
            with self.stream.makefile("rb") as lines:
                while self.take(lines.readline(FRAME_BYTES_MAX)):
                    pass
        except OSError:
            pass
        with self.application.changed:
            self.is_closed = True
            self.application.changed.notify_all()
        self.shut_down()
        self.stream.close()

    def take(self, line):
        """False at the end of the connection."""
        if not line.endswith(b"\n"):
            if len(line) >= FRAME_BYTES_MAX:
                error = {"code": -32600, "message": "a message is too long"}
                self.answer(None, {"error": error})
            return False
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as error:
            self.answer(None, {"error": {"code": -32700, "message": str(error)}})
            return True
        self.receive(message)
        return True

    def receive(self, message):
        fields = message if isinstance(message, dict) else {}
        method, params = fields.get("method"), fields.get("params", {})
        is_call = fields.get("jsonrpc") == "2.0" and isinstance(method, str)
        if is_call and "id" not in fields:
            if method == "cancel" and isinstance(params, dict):
                self.cancel(params.get("request"))
            return
        identity = fields.get("id")
        if not is_call or not is_integer(identity) or not isinstance(params, dict):
            error = {"code": -32600, "message": "want a request of JSON-RPC 2.0"}
            return self.answer(identity, {"error": error})
        request = Request(self, identity, self.received)
        self.received += 1
        self.running[identity] = request
        if method == "hello":
            # In turn: what follows it must find it answered.
            self.run(request, lambda _request, params: self.greet(params), params)
        else:
            handler = self.application.methods.get(method)
            work = threading.Thread(target=self.run, args=(request, handler, params), daemon=True)
            work.start()

    def greet(self, params):
        result = self.application.hello(params)
        self.is_greeted = True
        return result

    def cancel(self, identity):
        request = self.running.get(identity) if is_integer(identity) else None
        if request:
            with self.application.changed:
                request.is_cancelled = True
                self.application.changed.notify_all()

    def run(self, request, handler, params):
        with self.application.changed:
            # In the order in which they came: each begins when the one before has ended or waits.
            while self.begun != request.turn:
                self.application.changed.wait()
            self.begun += 1
            self.application.changed.notify_all()
            body = None if self.is_closed else self.outcome(request, handler, params)
        self.running.pop(request.identity, None)
        if body is not None:
            self.answer(request.identity, body)

    def outcome(self, request, handler, params):
        try:
            if not self.is_greeted and getattr(handler, "__name__", "") != "<lambda>":
                raise RpcError(-32001, "hello must be the first request")
            if handler is None:
                raise RpcError(-32601, "no such method")
            return {"result": handler(request, params)}
        except RpcError as error:
            return {"error": error.body}
        except Exception as error:  # The agent must hear of every fault.
            return {"error": {"code": -32603, "message": repr(error)}}


def peer_uid(stream):
    credentials = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return struct.unpack("3i", credentials)[1]


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--socket", required=True)
    options.add_argument("--state", required=True)
    options, _others = options.parse_known_args()
    application = Application(Memory(options.state))
    if os.path.exists(options.socket):
        os.unlink(options.socket)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(options.socket)
    listener.listen()
    print(f"listening on {options.socket}, instance {application.instance}", flush=True)
    connection = None
    while True:
        stream, _address = listener.accept()
        if peer_uid(stream) not in (0, os.getuid()):
            print("refused a stranger", file=sys.stderr)
            stream.close()
            continue
        if connection:
            connection.close()
        connection = Connection(application, stream)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
