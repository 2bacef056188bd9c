"""Brokers for the tests: a private Redis and a private RabbitMQ on free ports, to be killed and emptied."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.postgres import free_port

START = 90.0  # seconds that a broker may take on a loaded machine
QUEUE = "scheduler.default"
BINARIES = ("/usr/lib/rabbitmq/bin", "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")


def engine_broker() -> str:
    """The kind of broker that FAULT_ENGINE=celery (with FAULT_BROKER) asks for; empty for the local engine."""
    return os.environ.get("FAULT_BROKER", "redis") if os.environ.get("FAULT_ENGINE") == "celery" else ""


class Unavailable(Exception):
    """No such broker can be had here; the message says why."""


def find(program: str) -> str:
    """Where the program lies; raises Unavailable."""
    path = os.pathsep.join([*BINARIES, os.environ.get("PATH", "")])
    found = shutil.which(program, path=path)
    if found is None:
        raise Unavailable(f"{program} is not installed")
    return found


class Broker:
    """One broker with its files in a temporary folder. It starts empty, and keeps what it has on disk."""

    kind: str
    url: str

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix=f"scheduler-{self.kind}-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                env=self._environment(),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        ends_at = time.monotonic() + START
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > ends_at:
                raise Unavailable(f"{self.kind} does not start: {(self.home / 'log').read_text()[-2000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """As a power cut would end it."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)
            self._process = None

    def restart(self) -> None:
        """Kill it and start it again on what it had on disk."""
        self.kill()
        self.start()

    def flush(self) -> None:
        """Make it forget every message."""
        raise NotImplementedError

    def remove(self) -> None:
        """End it and delete its files."""
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _environment(self) -> dict[str, str]:
        return dict(os.environ)

    def _answers(self) -> bool:
        raise NotImplementedError

    def _ask(self, words: bytes, answer: bytes) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as line:
                line.sendall(words)
                return line.recv(100).startswith(answer)
        except OSError:
            return False


class Redis(Broker):
    """A Redis that appends every change to its file."""

    kind = "redis"

    @property
    def url(self) -> str:  # type: ignore[override]
        return f"redis://127.0.0.1:{self.port}/0"

    def flush(self) -> None:
        assert self._ask(b"FLUSHALL\r\n", b"+OK")

    def _command(self) -> list[str]:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.home)]
        return [
            find("redis-server"),
            *options,
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--save",
            "",
        ]

    def _answers(self) -> bool:
        return self._ask(b"PING\r\n", b"+PONG")


class RabbitMQ(Broker):
    """A RabbitMQ node of its own."""

    kind = "rabbitmq"

    @property
    def url(self) -> str:  # type: ignore[override]
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def flush(self) -> None:
        """Purge the queue that the tests use."""
        from amqp.exceptions import NotFound
        from kombu import Connection

        with Connection(self.url) as connection, suppress(NotFound):
            connection.default_channel.queue_purge(QUEUE)

    @property
    def _node(self) -> str:
        return f"scheduler-{self.port}@localhost"

    def _command(self) -> list[str]:
        return [find("rabbitmq-server")]

    def _environment(self) -> dict[str, str]:
        if not hasattr(self, "_distribution"):
            self._distribution = free_port()
        (self.home / "plugins").write_text("[].\n")
        return {
            **os.environ,
            "HOME": str(self.home),  # of the cookie, so that no other node may speak to this one
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_MNESIA_BASE": str(self.home / "data"),
            "RABBITMQ_LOG_BASE": str(self.home / "logs"),
            "RABBITMQ_PID_FILE": str(self.home / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.home / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(self.home / "none"),
            "RABBITMQ_CONFIG_FILE": str(self.home / "none"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none",
        }

    def _answers(self) -> bool:
        return self._ask(b"AMQP\x00\x00\x09\x01", b"\x01")


KINDS: dict[str, Callable[[], Broker]] = {"redis": Redis, "rabbitmq": RabbitMQ}
