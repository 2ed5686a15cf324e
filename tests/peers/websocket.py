"""A WebSocket (RFC 6455) over asyncio streams, as little of it as agent/PROTOCOL.md asks for."""

import asyncio
import base64
import hashlib
import os
import struct

TEXT_BYTES_MAX = 65536
BINARY_BYTES_MAX = 32796
HEAD_BYTES_MAX = 8192
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Closed(Exception):
    """The link is over; `code` is the peer's, ours, or 1006 when it just broke."""

    def __init__(self, code, reason=""):
        super().__init__(f"{code} {reason}")
        self.code = code


class Refused(Exception):
    """The upgrade was answered with something else."""

    def __init__(self, status, headers):
        super().__init__(f"HTTP status {status}")
        self.status, self.headers = status, headers


class WebSocket:
    """One end of a link. `silence_s` is the longest time without a byte from the peer."""

    def __init__(self, reader, writer, is_client, silence_s):
        self.reader, self.writer, self.is_client = reader, writer, is_client
        self.silence_s = silence_s

    async def receive(self):
        """The next message, a str or bytes. Pings are answered on the way."""
        message, kind = b"", None
        while True:
            final, opcode, payload = await self._frame()
            if opcode == PING:
                await self._send(PONG, payload)
            elif opcode == CLOSE:
                code = struct.unpack("!H", payload[:2])[0] if len(payload) > 1 else 1005
                await self.close(code if code != 1005 else 1000)
                raise Closed(code, payload[2:].decode(errors="replace"))
            elif opcode in (0, TEXT, BINARY):
                kind = opcode or kind
                message += payload
                if len(message) > (BINARY_BYTES_MAX if kind == BINARY else TEXT_BYTES_MAX):
                    await self.fail(1009, "too large")
                if final and kind == BINARY:
                    return message
                if final:
                    try:
                        return message.decode()
                    except UnicodeDecodeError:
                        await self.fail(1007, "not UTF-8")

    async def _frame(self):
        try:
            read = self.reader.readexactly
            first, second = await asyncio.wait_for(read(2), self.silence_s)
            size = second & 127
            if size > 125:
                more = await asyncio.wait_for(read(2 if size == 126 else 8), 30)
                size = int.from_bytes(more, "big")
            if size > TEXT_BYTES_MAX:
                await self.fail(1009, "too large")
            mask = await asyncio.wait_for(read(4), 30) if second & 128 else bytes(4)
            payload = await asyncio.wait_for(read(size), 30)
        except asyncio.TimeoutError:
            await self.fail(1001, "silent")
        except (OSError, EOFError) as error:
            raise Closed(1006, str(error)) from error
        return first & 128, first & 15, _masked(payload, mask)

    async def _send(self, opcode, payload):
        size = len(payload)
        length = bytes([size]) if size < 126 else b"\x7e" + struct.pack("!H", size)
        if size > 0xFFFF:
            length = b"\x7f" + struct.pack("!Q", size)
        head = bytes([128 | opcode, length[0] | (128 if self.is_client else 0)]) + length[1:]
        if self.is_client:
            mask = os.urandom(4)
            head, payload = head + mask, _masked(payload, mask)
        try:
            self.writer.write(head + payload)
            await asyncio.wait_for(self.writer.drain(), 30)
        except (OSError, asyncio.TimeoutError) as error:
            raise Closed(1006, str(error)) from error

    async def send(self, text):
        await self._send(TEXT, text.encode())

    async def ping(self):
        await self._send(PING, b"")

    async def close(self, code, reason=""):
        try:
            await self._send(CLOSE, struct.pack("!H", code) + reason.encode())
        except Closed:
            pass
        self.writer.close()

    async def fail(self, code, reason):
        await self.close(code, reason)
        raise Closed(code, reason)

    def cut(self):
        """Ends the connection without a word, as a lost network does."""
        self.writer.transport.abort()


def _masked(payload, mask):
    size = len(payload)
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")


def _accept_key(key):
    return base64.b64encode(hashlib.sha1(key.encode() + MAGIC).digest()).decode()


async def _head(reader):
    """First line and headers of a request or an answer."""
    lines = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 15)).decode("latin-1")
    first, *rest = lines.strip().split("\r\n")
    pairs = (line.partition(":") for line in rest)
    return first, {name.strip().lower(): value.strip() for name, _, value in pairs}


async def connect(host, port, path, tls, subprotocol, headers):
    """Opens a link."""
    streams = asyncio.open_connection(host, port, ssl=tls, limit=HEAD_BYTES_MAX)
    reader, writer = await asyncio.wait_for(streams, 60)
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}:{port}", "Upgrade: websocket",
             "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13",
             f"Sec-WebSocket-Protocol: {subprotocol}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    status, answer = await _head(reader)
    status = int(status.split()[1])
    is_ours = answer.get("sec-websocket-accept") == _accept_key(key)
    if status != 101 or not is_ours or answer.get("sec-websocket-protocol") != subprotocol:
        writer.close()
        raise Refused(status, answer)
    return WebSocket(reader, writer, True, silence_s=45)


async def accept(reader, writer, path, subprotocol):
    """Answers an upgrade; None when it was not one that is meant for us."""
    request, headers = await _head(reader)
    offered = [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",")]
    key = headers.get("sec-websocket-key")
    if request.split(" ")[:2] != ["GET", path] or not key or subprotocol not in offered:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        return None
    writer.write((f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                  f"Connection: Upgrade\r\nSec-WebSocket-Accept: {_accept_key(key)}\r\n"
                  f"Sec-WebSocket-Protocol: {subprotocol}\r\n\r\n").encode())
    return WebSocket(reader, writer, False, silence_s=45)
