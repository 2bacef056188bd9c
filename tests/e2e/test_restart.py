"""A restart of the web process under systemd's socket: requests of the time between wait, and none is refused."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest
from django.conf import settings

from tests.fault.processes import ROOT, environment, wait_for

pytestmark = pytest.mark.skipif(
    settings.DATABASES["default"]["ENGINE"].endswith("postgresql"),
    reason="the port does not depend on the database: tried on SQLite",
)
# What systemd does for a service with a socket: the listening descriptor is number 3, and whose it is is told.
ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


def start(listener: socket.socket, folder: Path) -> subprocess.Popen[str]:
    """A web process that is handed this socket, as from batch-web.socket."""
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            ACTIVATE,
            str(listener.fileno()),
            str(Path(sys.executable).parent / "gunicorn"),
        ],
        cwd=ROOT,
        env=environment(f"sqlite:///{folder / 'none.sqlite3'}", WEB_CONCURRENCY="1", PORT="1"),
        pass_fds=[listener.fileno()],
        stderr=subprocess.PIPE,
        text=True,
    )


def booted(web: subprocess.Popen[str]) -> None:
    assert web.stderr is not None
    assert any("Booting worker" in line for line in web.stderr)


def test_a_request_that_comes_during_a_restart_waits_and_is_answered(tmp_path: Path) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1/health/live"
    answers: list[int] = []

    def ask() -> None:
        with urllib.request.urlopen(address, timeout=90) as answer:
            answers.append(answer.status)

    first = start(listener, tmp_path)
    try:
        booted(first)
        ask()
        first.terminate()
        first.communicate(timeout=60)
        assert first.returncode == 0
        waiting = [threading.Thread(target=ask) for _ in range(5)]
        for thread in waiting:
            thread.start()
        wait_for(lambda: all(thread.is_alive() for thread in waiting), 5, "requests that wait")
        assert answers == [200], "nobody is there to answer them"
        second = start(listener, tmp_path)
        try:
            booted(second)
            for thread in waiting:
                thread.join(90)
        finally:
            second.terminate()
            second.communicate(timeout=60)
    finally:
        first.kill()
        listener.close()
    assert answers == [200] * 6
