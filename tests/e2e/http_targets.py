"""Targets for HTTP calls: friendly, slow and hostile ones, on loopback, on a port of their own.

`HttpTarget` answers by the first part of the path (see `BEHAVIOURS`) and keeps a log of its
connections and requests. `connects_made` counts the connections this process opens, as the
interpreter's audit hook sees them. Run as a program this file is a fast target for benchmarks:

    python -m tests.e2e.http_targets [--ports 1] [--delay-ms 0]

prints its ports on one line and serves until it is stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gzip
import socket
import ssl
import struct
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

TLS_HANDSHAKE = b"\x16"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n" + b'{"ok":true}'


@dataclass(frozen=True, kw_only=True)
class Received:
    """One request as it came over the wire."""

    method: str
    path: str
    #: In the order sent, names as sent.
    headers: list[tuple[str, str]]
    body: bytes
    raw: bytes

    def header(self, name: str) -> str | None:
        """The value of a header, None when it was not sent."""
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)

    def query(self, name: str, default: str = "") -> str:
        """A parameter of the query."""
        return parse_qs(urlsplit(self.path).query).get(name, [default])[0]


@dataclass(kw_only=True)
class Visit:
    """One connection while it is served."""

    sock: socket.socket
    target: HttpTarget
    request: Received
    #: Set by a behaviour after which the connection cannot go on.
    over: bool = False

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def answer(self, status: str = "200 OK", body: bytes = b"", headers: tuple[str, ...] = ()) -> None:
        """A well-framed answer."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
        self.send("\r\n".join(lines).encode("latin-1") + body)

    def drip(self, data: bytes, seconds: float = 0.05) -> None:
        """Send byte by byte for as long as anybody listens."""
        for byte in data:
            self.send(bytes([byte]))
            if self.target.closing.wait(seconds):
                return

    def hold(self) -> None:
        """Say nothing until the target is closed."""
        self.target.closing.wait()
        self.over = True


Behaviour = Callable[[Visit], None]


def _ok(visit: Visit) -> None:
    visit.send(OK)


def _echo(visit: Visit) -> None:
    visit.answer(body=visit.request.raw)


def _mirror(visit: Visit) -> None:
    """/mirror/500: all that was sent, in the body, in a header and, its first secret, in the reason."""
    code = urlsplit(visit.request.path).path.split("/")[2]
    told = visit.request.header("Authorization") or "nothing"
    visit.answer(f"{code} No {told}", visit.request.raw, (f"X-Told: {told}", f"Location: /?told={told}"))


def _status(visit: Visit) -> None:
    """/status/503?reason=Gone%20fishing&retryAfter=7"""
    code = urlsplit(visit.request.path).path.split("/")[2]
    after = visit.request.query("retryAfter")
    headers = (f"Retry-After: {after}",) if after else ()
    reason = visit.request.query("reason", "Internal Server Error" if code == "500" else "Status")
    no_body = code in {"204", "304"}
    visit.answer(f"{code} {reason}", b"" if no_body else b"status", headers)


def _mute(visit: Visit) -> None:
    """/mute/503: a status line without a reason."""
    code = urlsplit(visit.request.path).path.split("/")[2]
    visit.answer(code)


def _silent(visit: Visit) -> None:
    visit.hold()


def _drip_head(visit: Visit) -> None:
    visit.over = True
    visit.drip(b"HTTP/1.1 200 OK\r\n" + b"X-Drip: drop\r\n" * 10_000)


def _drip_body(visit: Visit) -> None:
    visit.over = True
    visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    visit.drip(b"x" * 100_000)


def _drip_chunks(visit: Visit) -> None:
    visit.over = True
    visit.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    visit.drip(b"1\r\nx\r\n" * 100_000)


def _infinite(visit: Visit) -> None:
    visit.over = True
    visit.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while not visit.target.closing.is_set():
        visit.send(b"x" * 65_536)


def _infinite_chunk_size(visit: Visit) -> None:
    visit.over = True
    visit.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;")
    while not visit.target.closing.is_set():
        visit.send(b"e" * 65_536)


def _infinite_trailers(visit: Visit) -> None:
    visit.over = True
    visit.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n")
    while not visit.target.closing.is_set():
        visit.send(b"X-Trailer: 1\r\n" * 1000)


def _infinite_interim(visit: Visit) -> None:
    visit.over = True
    while not visit.target.closing.is_set():
        visit.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


def _million_chunks(visit: Visit) -> None:
    visit.over = True
    visit.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(1000):
        visit.send(b"1\r\nx\r\n" * 1000)
    visit.send(b"0\r\n\r\n")


def _gzip_bomb(visit: Visit) -> None:
    visit.answer(body=_bomb(gzip=True), headers=("Content-Encoding: gzip",))


def _deflate_bomb(visit: Visit) -> None:
    visit.answer(body=_bomb(gzip=False), headers=("Content-Encoding: deflate",))


def _nested_bomb(visit: Visit) -> None:
    body = _bomb(gzip=True)
    for _ in range(4):
        body = gzip.compress(body)
    visit.answer(body=body, headers=("Content-Encoding: gzip, gzip, gzip, gzip, gzip",))


def _brotli(visit: Visit) -> None:
    visit.answer(body=b"\x1b\x00\x00\x00" * 1000, headers=("Content-Encoding: br",))


def _bad_gzip(visit: Visit) -> None:
    visit.answer(body=b"this is no gzip", headers=("Content-Encoding: gzip",))


def _gzip(visit: Visit) -> None:
    visit.answer(body=gzip.compress("zusammengepreßt".encode()), headers=("Content-Encoding: gzip",))


def _redirect(visit: Visit) -> None:
    """/redirect?to=<url>&status=302: `to` is sent as it is."""
    location = visit.request.query("to").encode().decode("latin-1")
    visit.answer(f"{visit.request.query('status', '302')} Found", b"", (f"Location: {location}",))


def _redirect_forever(visit: Visit) -> None:
    visit.answer("302 Found", b"", ("Location: /redirect-forever",))


def _refresh(visit: Visit) -> None:
    visit.answer("200 OK", b"stay", ("Refresh: 0; url=http://169.254.169.254/",))


def _reset(visit: Visit) -> None:
    """Cut the connection with RST instead of an answer."""
    visit.over = True
    visit.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _hang_up(visit: Visit) -> None:
    visit.over = True


def _hang_up_in_body(visit: Visit) -> None:
    visit.over = True
    visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this")


def _hang_up_in_chunk(visit: Visit) -> None:
    visit.over = True
    visit.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nonly this")


def _hang_up_in_head(visit: Visit) -> None:
    visit.over = True
    visit.send(b"HTTP/1.1 200 OK\r\nX-Half: ")


def _no_http(visit: Visit) -> None:
    visit.over = True
    visit.send(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


def _bad_length(visit: Visit) -> None:
    visit.over = True
    visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")


def _bad_chunk(visit: Visit) -> None:
    visit.over = True
    visit.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n")


def _two_framings(visit: Visit) -> None:
    """Both framings and a second answer behind the first, as a smuggler would."""
    visit.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"
        b"2\r\nok\r\n0\r\n\r\nHTTP/1.1 500 Smuggled\r\nContent-Length: 0\r\n\r\n"
    )


def _surplus(visit: Visit) -> None:
    """A second answer that nobody asked for, on a connection that may be kept."""
    visit.send(OK + b"HTTP/1.1 500 Smuggled\r\nContent-Length: 0\r\n\r\n")


def _nul(visit: Visit) -> None:
    visit.answer(body=b"a\x00b\xff\xfe c\xed\xa0\x80", headers=("Content-Type: text/plain",))


def _charset(visit: Visit) -> None:
    """/charset?name=…: the bytes of `grün` in Latin-1, said to be in that charset."""
    name = visit.request.query("name")
    visit.answer(body="grün".encode("latin-1"), headers=(f"Content-Type: text/plain; charset={name}",))


def _headers(visit: Visit) -> None:
    """/headers/1000 sends so many header lines, Content-Length being one of them."""
    count = int(visit.request.path.split("/")[2])
    visit.answer(body=b"ok", headers=tuple(f"X-{number}: 1" for number in range(count - 1)))


def _big_headers(visit: Visit) -> None:
    """/big-headers/70000 sends one header of so many bytes."""
    size = int(visit.request.path.split("/")[2])
    visit.answer(body=b"ok", headers=("X-Big: " + "x" * size,))


def _odd_headers(visit: Visit) -> None:
    visit.answer(body=b"ok", headers=("X-Folded: one", "\ttwo", "no colon here", "X-Twice: 1", "x-twice: 2"))


def _body(visit: Visit) -> None:
    """/body/65537 answers so many bytes."""
    visit.answer(body=b"y" * int(visit.request.path.split("/")[2]))


def _interim(visit: Visit) -> None:
    visit.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK)


def _until_close(visit: Visit) -> None:
    visit.over = True
    visit.send(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")


def _close_after(visit: Visit) -> None:
    """A complete answer that may be kept alive, then a hang-up without a word."""
    visit.send(OK)
    visit.over = True


def _wait(visit: Visit) -> None:
    """Hold the answer until the test calls `target.release()`."""
    visit.target.waiting.release()
    visit.target.gate.wait()
    visit.send(OK)


BEHAVIOURS: dict[str, Behaviour] = {
    "ok": _ok,
    "echo": _echo,
    "mirror": _mirror,
    "status": _status,
    "mute": _mute,
    "silent": _silent,
    "wait": _wait,
    "drip-head": _drip_head,
    "drip-body": _drip_body,
    "drip-chunks": _drip_chunks,
    "infinite": _infinite,
    "infinite-chunk-size": _infinite_chunk_size,
    "infinite-trailers": _infinite_trailers,
    "infinite-interim": _infinite_interim,
    "million-chunks": _million_chunks,
    "gzip": _gzip,
    "gzip-bomb": _gzip_bomb,
    "deflate-bomb": _deflate_bomb,
    "nested-bomb": _nested_bomb,
    "brotli": _brotli,
    "bad-gzip": _bad_gzip,
    "redirect": _redirect,
    "redirect-forever": _redirect_forever,
    "refresh": _refresh,
    "reset": _reset,
    "hang-up": _hang_up,
    "hang-up-in-head": _hang_up_in_head,
    "hang-up-in-body": _hang_up_in_body,
    "hang-up-in-chunk": _hang_up_in_chunk,
    "no-http": _no_http,
    "bad-length": _bad_length,
    "bad-chunk": _bad_chunk,
    "two-framings": _two_framings,
    "surplus": _surplus,
    "nul": _nul,
    "charset": _charset,
    "headers": _headers,
    "big-headers": _big_headers,
    "odd-headers": _odd_headers,
    "body": _body,
    "interim": _interim,
    "until-close": _until_close,
    "close-after": _close_after,
}


@cache
def _bomb(*, gzip: bool) -> bytes:
    """100 MB of zeros in about 100 kB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31 if gzip else 15)
    megabyte = bytes(1_000_000)
    return b"".join(packer.compress(megabyte) for _ in range(100)) + packer.flush()


@dataclass(kw_only=True)
class HttpTarget:
    """A server with a thread per connection. Use as a context manager."""

    host: str = "127.0.0.1"
    tls: ssl.SSLContext | None = None
    #: Accept, and never answer the TLS handshake.
    mute_handshake: bool = False
    #: Accept, and never read a byte.
    never_reads: bool = False
    requests: list[Received] = field(default_factory=list)
    #: Connections accepted so far.
    connections: int = 0
    closing: threading.Event = field(default_factory=threading.Event)
    gate: threading.Event = field(default_factory=threading.Event)
    #: Released once for each request that waits at `gate`.
    waiting: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    #: Released once for each connection that this side has closed.
    hung_up: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    port: int = 0
    _listener: socket.socket = field(init=False)
    _open: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, 0), family=family, backlog=512)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.gate.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def url(self, path: str = "/ok", *, host: str | None = None) -> str:
        """The address of a behaviour; `host` replaces the name in it."""
        name = host or self.host
        name = f"[{name}]" if ":" in name else name
        return f"{'https' if self.tls else 'http'}://{name}:{self.port}{path}"

    def release(self) -> None:
        """Let the requests at /wait be answered."""
        self.gate.set()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        served = sock
        try:
            if self.mute_handshake or self.never_reads:
                self.closing.wait()
            elif self.tls is not None:
                served = self.tls.wrap_socket(sock, server_side=True)
                self._talk(served)
            else:
                self._talk(served)
        except OSError:
            pass  # the caller hung up, which is what most of these tests are about
        finally:
            with self._lock:
                self._open.discard(sock)
            served.close()
            sock.close()
            self.hung_up.release()

    def _talk(self, sock: socket.socket) -> None:
        stream = sock.makefile("rb")
        with stream:
            while not self.closing.is_set():
                request = _read_request(stream)
                if request is None:
                    return
                with self._lock:
                    self.requests.append(request)
                visit = Visit(sock=sock, target=self, request=request)
                name = unquote(urlsplit(request.path).path).split("/")[1]
                BEHAVIOURS.get(name, _ok)(visit)
                if visit.over:
                    return


def _read_request(stream: Any) -> Received | None:
    if stream.peek(1)[:1] == TLS_HANDSHAKE:
        raise ConnectionError("TLS where plain HTTP is spoken")
    lines = []
    while (line := stream.readline(65_536)) not in {b"\r\n", b""}:
        lines.append(line)
    if not lines:
        return None
    method, path, _ = lines[0].decode("latin-1").split(" ", 2)
    headers = []
    for field_line in lines[1:]:
        name, _, value = field_line.decode("latin-1").rstrip("\r\n").partition(":")
        headers.append((name, value.strip()))
    length = next((int(v) for k, v in headers if k.lower() == "content-length"), 0)
    body = stream.read(length)
    raw = b"".join(lines) + b"\r\n" + body
    return Received(method=method, path=path, headers=headers, body=body, raw=raw)


_recorders: list[list[tuple[Any, ...]]] = []
_hook_lock = threading.Lock()
_hook_added = False


def _record_connect(event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _recorders:
        sock, address = args
        if sock.type == socket.SOCK_STREAM and isinstance(address, tuple):
            for recorder in _recorders:
                recorder.append(address)


@contextlib.contextmanager
def connects_made() -> Iterator[list[tuple[Any, ...]]]:
    """The addresses of every TCP connect of this process while the block runs."""
    global _hook_added
    with _hook_lock:
        if not _hook_added:
            sys.addaudithook(_record_connect)  # it cannot be taken off again
            _hook_added = True
    recorder: list[tuple[Any, ...]] = []
    _recorders.append(recorder)
    try:
        yield recorder
    finally:
        _recorders.remove(recorder)


class FastProtocol(asyncio.Protocol):
    """Answers 200 to every request, after `delay` seconds, and looks at nothing else."""

    delay = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            if self.delay:
                asyncio.get_running_loop().call_later(self.delay, self._answer)
            else:
                self._answer()

    def _answer(self) -> None:
        assert isinstance(self.transport, asyncio.Transport)
        if not self.transport.is_closing():
            self.transport.write(OK)


async def serve_fast(*, ports: int, delay: float) -> None:
    """Listen on so many ports, print them on one line, and serve until cancelled."""
    protocol = type("DelayedProtocol", (FastProtocol,), {"delay": delay})
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(protocol, "127.0.0.1", 0, backlog=1024) for _ in range(ports)]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


def main() -> None:
    """Be a fast target for a benchmark in a process of its own."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--ports", type=int, default=1)
    parser.add_argument("--delay-ms", type=int, default=0)
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve_fast(ports=options.ports, delay=options.delay_ms / 1000))


if __name__ == "__main__":
    main()
