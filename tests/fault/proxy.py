"""A TCP proxy whose line can be slowed, cut, left half-open, or made to swallow the answer to a COMMIT.

It runs in a thread of its own; every method may be called from the test at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from urllib.parse import urlsplit

CHUNK = 65536


class Line:
    """One client's connection and the server's end of it."""

    def __init__(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.client = client
        self.server = server
        self.swallow = False

    def cut(self) -> None:
        """End both sides by a reset, as a crashed machine or a firewall does."""
        for _, writer in (self.client, self.server):
            found = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Proxy:
    """Between the processes and one server. `mode` holds for all lines:

    pass, delay (each chunk waits), blackhole (everything is read and dropped, so the sender's
    packets are acknowledged and never answered), stall (nothing is read), refuse.
    """

    def __init__(self, host: str, port: int, *, seed: int = 0) -> None:
        self.backend = (host, port)
        self.mode = "pass"
        self.delay = 0.0
        self.swallowed = 0
        self.dropped = 0
        self.lines_seen = 0
        self._to_swallow = 0
        self._skip = 0
        self._random = random.Random(seed)
        self._lines: set[Line] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self.port = 0
        self._thread = threading.Thread(target=self._serve, name="proxy", daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def url(self, database_url: str) -> str:
        """The address of a database, through this proxy."""
        parts = urlsplit(database_url)
        user = parts.netloc.rpartition("@")[0]
        return parts._replace(netloc=f"{user}@127.0.0.1:{self.port}").geturl()

    def switch(self, port: int) -> None:
        """Send new lines to another port."""
        self.backend = (self.backend[0], port)

    def cut(self) -> None:
        """Reset every line there is; new ones are served."""
        self._do(self._cut_all)

    def _cut_all(self) -> None:
        for line in list(self._lines):
            line.cut()

    def swallow_commits(self, count: int, *, after: int = 0) -> None:
        """Of the next `count` COMMITs (past the first `after`) the server's answer is lost and the line cut."""
        self._skip, self._to_swallow = after, count

    def close(self) -> None:
        """End it and all its lines."""
        self.cut()
        self._do(self._loop.stop)
        self._thread.join(10)

    def _do(self, action: object) -> None:
        self._loop.call_soon_threadsafe(action)  # type: ignore[arg-type]

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)

        async def start() -> asyncio.Server:
            return await asyncio.start_server(self._accept, "127.0.0.1", 0)

        server = self._loop.run_until_complete(start())
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.lines_seen += 1
        if self.mode == "refuse":
            writer.transport.abort()
            return
        try:
            server = await asyncio.open_connection(*self.backend)
        except OSError:
            writer.transport.abort()
            return
        line = Line((reader, writer), server)
        self._lines.add(line)
        try:
            await asyncio.gather(self._forth(line), self._back(line))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._lines.discard(line)
            for _, end in (line.client, line.server):
                with contextlib.suppress(Exception):
                    end.close()

    async def _forth(self, line: Line) -> None:
        while data := await self._read(line.client[0]):
            if b"COMMIT" in data and self._to_swallow:
                if self._skip:
                    self._skip -= 1
                else:
                    self._to_swallow -= 1
                    line.swallow = True
            await self._write(line.server[1], data)
        line.server[1].close()

    async def _back(self, line: Line) -> None:
        while data := await self._read(line.server[0]):
            if line.swallow:
                self.swallowed += 1
                line.cut()
                return
            await self._write(line.client[1], data)
        line.client[1].close()

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        while True:
            while self.mode == "stall":
                await asyncio.sleep(0.02)
            try:
                data = await reader.read(CHUNK)
            except OSError:
                return b""
            if self.mode == "blackhole" and data:
                self.dropped += len(data)
                continue
            return data

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        if self.mode == "delay":
            await asyncio.sleep(self.delay * self._random.uniform(0.5, 1.5))
        with contextlib.suppress(OSError):
            writer.write(data)
            await writer.drain()
