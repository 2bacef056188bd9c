"""A host that is well, then ill, then well again, and remembers every call by the monotonic clock."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PATIENCE = 10.0


@dataclass(frozen=True, kw_only=True)
class Request:
    """One call: when it came, whose it was, which attempt, and the Retry-After that it got."""

    at: float
    execution: str
    attempt: int
    failed: bool
    retry_after: int = 0


@dataclass(kw_only=True)
class Host:
    """`ill`: it answers 503, to every second execution with Retry-After."""

    port: int = 0
    ill: bool = False
    retry_after: int = 5
    seconds: float = 0.02
    requests: list[Request] = field(default_factory=list)
    #: Calls at once, now and at most.
    inside: int = 0
    most: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def rate(self, low: float, high: float) -> float:
        """Calls per second between two moments."""
        return sum(low <= one.at < high for one in self.requests) / (high - low)

    def peak(self, low: float, high: float, *, window: float) -> float:
        """Calls per second in the busiest window between two moments."""
        moments = sorted(one.at for one in self.requests if low <= one.at < high)
        most, first = 0, 0
        for last, moment in enumerate(moments):
            while moments[first] <= moment - window:
                first += 1
            most = max(most, last - first + 1)
        return most / window

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one call after another until the caller hangs up."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.decode("latin-1").lower().split("\r\n")[1:-2]
                headers = dict(line.split(": ", 1) for line in lines)
                await reader.readexactly(int(headers.get("content-length", 0)))
                writer.write(await self._answer(headers))
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.close()

    async def _answer(self, headers: dict[str, str]) -> bytes:
        execution = headers["x-execution-id"]
        ill = self.ill
        after = self.retry_after if ill and int(execution[-1], 16) % 2 else 0
        self.requests.append(
            Request(
                at=time.monotonic(),
                execution=execution,
                attempt=int(headers["x-attempt"]),
                failed=ill,
                retry_after=after,
            )
        )
        self.inside += 1
        self.most = max(self.most, self.inside)
        await asyncio.sleep(self.seconds)
        self.inside -= 1
        if not ill:
            return OK
        asked = f"Retry-After: {after}\r\n" if after else ""
        return f"HTTP/1.1 503 Ill\r\n{asked}Content-Length: 0\r\n\r\n".encode()


@contextmanager
def host() -> Iterator[Host]:
    """A host on loopback, served by a thread of its own."""
    found = Host()
    loop = asyncio.new_event_loop()

    async def listen() -> None:
        server = await asyncio.start_server(found.serve, "127.0.0.1", 0, backlog=512)
        found.port = server.sockets[0].getsockname()[1]

    loop.run_until_complete(listen())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def stop() -> None:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.call_soon(loop.stop)

    try:
        yield found
    finally:
        loop.call_soon_threadsafe(stop)
        thread.join(PATIENCE)
