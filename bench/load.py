"""A small HTTP client for measurements: kept connections, no library between the socket and the clock."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass
class Figures:
    """What came back: seconds per request, and how many were no 2xx."""

    seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    errors: int = 0

    @property
    def rate(self) -> float:
        """Requests per second."""
        return len(self.times) / self.seconds

    def percentile(self, share: float) -> float:
        """The time, in milliseconds, that this share of the requests stayed below."""
        ordered = sorted(self.times)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Connection:
    """One connection to the server; opened again when the server has closed it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.sock: socket.socket | None = None

    def ask(self, request: bytes) -> bool:
        """Send it and read the whole answer; whether it was a 2xx."""
        for last in (False, True):
            try:
                return self._ask(request)
            except (ConnectionError, EOFError):
                self.close()
                if last:
                    raise
        raise AssertionError

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    def _ask(self, request: bytes) -> bool:
        if self.sock is None:
            self.sock = socket.create_connection(("127.0.0.1", self.port), 30)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.sendall(request)
        got = b""
        while b"\r\n\r\n" not in got:
            got += self._receive()
        head, _, body = got.partition(b"\r\n\r\n")
        lower = head.lower()
        length = int(lower.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        left = length - len(body)
        while left > 0:
            left -= len(self._receive())
        if b"connection: close" in lower:
            self.close()
        return head[9:10] == b"2"

    def _receive(self) -> bytes:
        assert self.sock is not None
        part = self.sock.recv(65536)
        if not part:
            raise EOFError
        return part


def request(path: str, *, method: str = "GET", token: str | None = None, body: bytes = b"") -> bytes:
    """The bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def press(port: int, requests: Sequence[bytes], *, seconds: float, connections: int = 8) -> Figures:
    """As many requests as the server answers, one after the other on each connection."""
    end = time.perf_counter() + seconds

    def work(figures: Figures, number: int) -> None:
        connection, turn = Connection(port), number
        while (begun := time.perf_counter()) < end:
            figures.errors += not connection.ask(requests[turn % len(requests)])
            figures.times.append(time.perf_counter() - begun)
            turn += connections
        connection.close()

    return _together(work, connections, seconds)


def pace(
    port: int, requests: Sequence[bytes], *, rate: float, seconds: float, connections: int = 16
) -> Figures:
    """So many requests a second, whether or not the server keeps up: late ones count from their moment."""
    started = time.perf_counter()
    total = int(rate * seconds)

    def work(figures: Figures, number: int) -> None:
        connection = Connection(port)
        for turn in range(number, total, connections):
            due = started + turn / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            figures.errors += not connection.ask(requests[turn % len(requests)])
            figures.times.append(time.perf_counter() - due)
        connection.close()

    return _together(work, connections, seconds)


def _together(work: Callable[[Figures, int], None], connections: int, seconds: float) -> Figures:
    parts = [Figures() for _ in range(connections)]
    threads = [threading.Thread(target=work, args=(part, n)) for n, part in enumerate(parts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Figures(seconds, [one for part in parts for one in part.times], sum(part.errors for part in parts))
