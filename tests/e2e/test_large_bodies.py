"""Bodies that are too much, really sent to the server as it is deployed: refused in JSON, soon, and in little
memory (cases 10 and 38)."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fault.processes import ROOT, environment, wait_for
from tests.postgres import free_port

MIB = 1024 * 1024
BLOCK = b"x" * (64 * 1024)
GROWTH_KIB = 8 * 1024  # two bodies of 1 MiB, and what threads and libraries take when first used
HEAD = (
    "POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back, and how long after the request began."""

    status: int
    kind: str
    body: Any
    seconds: float


class Server:
    """One process of gunicorn; no request here reaches the database."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        extra = {"PORT": str(self.port), "WEB_CONCURRENCY": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn"],
            cwd=ROOT,
            env=environment(f"sqlite:///{folder / 'unused.sqlite3'}", **extra),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for(self._listens, 60, "gunicorn")

    def send(self, head: str, body: Iterable[bytes] = (), *, start: str = HEAD) -> Answer:
        """Send it all, or as much as the server takes, and read the answer."""
        with socket.create_connection(("127.0.0.1", self.port), 30) as sock:
            started = time.monotonic()
            sock.sendall(f"{start}{head}\r\n\r\n".encode())
            try:
                for part in body:
                    sock.sendall(part)
            except OSError:
                pass  # refused before its end
            raw = _read_all(sock)
            seconds = time.monotonic() - started
        top, _, content = raw.partition(b"\r\n\r\n")
        kind = re.search(rb"(?i)content-type: ([^\r]+)", top)
        assert kind, raw
        return Answer(
            status=int(top.split()[1]), kind=kind[1].decode(), body=json.loads(content), seconds=seconds
        )

    def memory(self) -> int:
        """The most that the worker ever had, in KiB."""
        worker = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0]
        status = Path(f"/proc/{worker}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0])

    def end(self) -> None:
        os.kill(self.process.pid, signal.SIGTERM)
        self.process.wait(30)

    def _listens(self) -> bool:
        assert self.process.poll() is None, "gunicorn ended"
        try:
            return (
                self.send(
                    "", start="GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close"
                ).status
                == 200
            )
        except OSError:
            return False


def _read_all(sock: socket.socket) -> bytes:
    raw = b""
    try:
        while part := sock.recv(65536):
            raw += part
    except ConnectionError:
        pass  # the answer came before the reset, or the test fails
    return raw


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("server"))
    found.send("Content-Length: 1048570", blocks(1048570))  # what is loaded once is loaded now
    yield found
    found.end()


def blocks(size: int) -> Iterator[bytes]:
    """So many bytes."""
    for _ in range(size // len(BLOCK)):
        yield BLOCK
    yield b"x" * (size % len(BLOCK))


def chunks(size: int, each: int = len(BLOCK)) -> Iterator[bytes]:
    """The same as chunks of HTTP, a few thousand at a time on the wire."""
    together = max(1, len(BLOCK) // each)
    part = (b"%x\r\n" % each + b"x" * each + b"\r\n") * together
    for _ in range(size // (each * together)):
        yield part
    yield b"0\r\n\r\n"


def is_refused(answer: Answer, status: int) -> bool:
    keys = {"error", "message", "details", "statusCode", "path", "requestId"}
    return (
        answer.status == status
        and answer.kind == "application/json"
        and set(answer.body) == keys
        and answer.body["statusCode"] == status
    )


BODIES: dict[str, tuple[str, Callable[[], Iterator[bytes]]]] = {
    "3 MB declared": ("Content-Length: 3145728", lambda: blocks(3 * MIB)),
    "100 MB declared": ("Content-Length: 104857600", lambda: blocks(100 * MIB)),
    "100 MB in chunks": ("Transfer-Encoding: chunked", lambda: chunks(100 * MIB)),
    "100 MB in one chunk": (
        "Transfer-Encoding: chunked",
        lambda: iter([b"6400000\r\n", *blocks(100 * MIB), b"\r\n0\r\n\r\n"]),
    ),
    "100 MB declared and not sent": ("Content-Length: 104857600", lambda: iter([])),
    "a length of 23 digits": ("Content-Length: 99999999999999999999999", lambda: iter([])),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_above_the_limit_is_413_within_a_second_and_takes_no_memory(server: Server, name: str) -> None:
    head, body = BODIES[name]
    before = server.memory()

    answers = [server.send(head, body()) for _ in range(3)]

    assert all(is_refused(answer, 413) for answer in answers), answers
    # A busy machine may be late once, not three times.
    assert min(answer.seconds for answer in answers) <= 1.0
    assert server.memory() - before <= GROWTH_KIB


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\nabc\r\n0\r\n\r\n",
        b"5\r\nabc",
        b"-1\r\n\r\n",
        b"ffffffffffffffffff\r\nabc",
        b"3\r\nabcdef\r\n0\r\n\r\n",
    ],
)
def test_chunks_that_are_none_are_400(server: Server, body: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 30) as sock:
        sock.sendall(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode() + body)
        sock.shutdown(socket.SHUT_WR)
        raw = _read_all(sock)

    assert raw.startswith(b"HTTP/1.1 400"), raw
    assert json.loads(raw.partition(b"\r\n\r\n")[2])["error"] == "Validation error"


def test_a_body_in_chunks_of_one_byte_does_not_keep_the_server_busy(server: Server) -> None:
    answer = server.send("Transfer-Encoding: chunked", chunks(MIB, 1))

    assert is_refused(answer, 400), answer
    assert answer.body["details"][0]["message"] == "Comes in chunks that are too small"


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        ("NONSENSE", 400),
        ("GET / HTTP/9.9\r\nHost: localhost", 400),
        (f"{HEAD}Content-Length: -1", 400),
        (f"{HEAD}Content-Length: 1e3", 400),
        (f"{HEAD}Content-Length: 2\r\nContent-Length: 3", 400),
        (f"{HEAD}Content-Length: 10\r\nTransfer-Encoding: chunked", 400),
        (f"{HEAD}X A: 1", 400),
        ("GET /" + "x" * 8000 + " HTTP/1.1\r\nHost: localhost", 414),
        (HEAD + "\r\n".join(f"X-{number}: 1" for number in range(200)), 431),
        (f"{HEAD}X-A: " + "y" * 9000, 431),
    ],
)
def test_what_is_no_http_is_refused_in_json_too(server: Server, request_text: str, status: int) -> None:
    answer = server.send("", start=request_text)

    assert is_refused(answer, status), answer
    assert bool(answer.body["details"]) == (status == 400)
