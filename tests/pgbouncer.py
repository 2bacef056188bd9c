"""A PgBouncer in transaction mode, of a test's own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg
import pytest

from tests.postgres import free_port, unprivileged_user

CONFIGURATION = """
[databases]
* = host={host} port={port} user={user} password={password}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 300
server_connect_timeout = 5
server_login_retry = 0.2
logfile = {folder}/log
"""


def find_pgbouncer() -> str:
    """The program; the test is skipped where there is none, and fails where CI should have installed it."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("no PgBouncer is installed")
        pytest.skip("no PgBouncer is installed (Debian, Ubuntu: apt-get install pgbouncer)")
    return found


class Bouncer:
    """Gives all clients of a server no more than `connections` of its sessions, each for one transaction."""

    def __init__(self, server_url: str, *, connections: int) -> None:
        self._program = find_pgbouncer()
        self._user = unprivileged_user()
        self._server = urlsplit(server_url)
        self._folder = Path(tempfile.mkdtemp(prefix="scheduler-pgbouncer-"))
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        configuration = self._folder / "pgbouncer.ini"
        configuration.write_text(
            CONFIGURATION.format(
                host=self._server.hostname,
                port=self._server.port,
                user=unquote(self._server.username or ""),
                password=unquote(self._server.password or "unused"),
                own_port=self._port,
                connections=connections,
                folder=self._folder,
            )
        )
        if self._user is not None:  # it refuses to run as root
            for path in (self._folder, configuration):
                os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def url(self, database_url: str) -> str:
        """The address of the same database behind it."""
        name = urlsplit(database_url).path
        return f"postgresql://anybody:anything@127.0.0.1:{self._port}{name}"

    def start(self) -> None:
        """Start it and return when it lets one in."""
        self._process = subprocess.Popen(
            [self._program, "-q", str(self._folder / "pgbouncer.ini")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=self._user.pw_uid if self._user else None,
            group=self._user.pw_gid if self._user else None,
        )
        ends_at = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url(self._server.geturl()), connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() < ends_at, (self._folder / "log").read_text()
                time.sleep(0.05)

    def kill(self) -> None:
        """End it at once, with all its connections."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(30)

    def close(self) -> None:
        """Take it away, whatever state it is in."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
