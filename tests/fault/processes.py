"""Real `manage.py run_scheduler` processes, reached by their process id and by nothing else."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.postgres import free_port

ROOT = Path(__file__).resolve().parents[2]
LEASE = 2.0
POLL = 0.25
SLACK = float(os.environ.get("FAULT_SLACK", "2"))  # what a loaded machine may add to a bound
READY = re.compile(r"scheduler (\S+) started \(pid (\d+)\)")
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "LD_LIBRARY_PATH")


def environment(database_url: str, **more: str) -> dict[str, str]:
    """The environment of a process of the product: nothing of this machine's own settings gets in."""
    return {
        **{name: os.environ[name] for name in KEPT if name in os.environ},
        "APP_ENV": "test",
        "DJANGO_SETTINGS_MODULE": "tests.fault.settings",
        "SECRET_KEY": "only-for-fault-tests-" + "a" * 30,
        "JWT_SECRET": "only-for-fault-tests-" + "b" * 30,
        "DATABASE_URL": database_url,
        "LEASE_SECONDS": f"{LEASE:.0f}",
        "SCHEDULER_POLL_INTERVAL_MS": f"{POLL * 1000:.0f}",
        "SCHEDULER_HEARTBEAT_SECONDS": "1",
        "SHUTDOWN_TIMEOUT_SECONDS": "5",
        "LOG_LEVEL": "info",
        **more,
    }


@contextmanager
def serving(variables: Mapping[str, str]) -> Iterator[str]:
    """A web process with this environment, ended as a service manager ends it; answers its address."""
    port = free_port()
    gunicorn = subprocess.Popen(
        [str(Path(sys.executable).parent / "gunicorn")],
        cwd=ROOT,
        env={"WEB_CONCURRENCY": "1", **variables, "PORT": str(port)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert gunicorn.stderr is not None
        said = ""
        while "Booting worker" not in said:
            line = gunicorn.stderr.readline()
            assert line, f"the web process ended: {said}"
            said += line
        yield f"http://127.0.0.1:{port}"
        gunicorn.terminate()
        gunicorn.communicate(timeout=60)
    finally:
        gunicorn.kill()
        gunicorn.wait(30)


def wait_for(condition: Callable[[], object], seconds: float, what: str, *, step: float = 0.05) -> float:
    """Wait until the condition holds; answers how long it took. AssertionError names what did not come."""
    started = time.monotonic()
    while not condition():
        waited = time.monotonic() - started
        assert waited < seconds, f"{what}: not within {seconds:g} s"
        time.sleep(step)
    return time.monotonic() - started


class Scheduler:
    """One process. Everything it says goes to `log`."""

    command: tuple[str, ...] = ("manage.py", "run_scheduler")

    def __init__(
        self, database_url: str, log: Path, *arguments: str, extra: Mapping[str, str] | None = None
    ) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *self.command, *arguments],
                cwd=ROOT,
                env=environment(database_url, **(extra or {})),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.instance = ""
        self.started_at = time.monotonic()
        self.ended_at: float | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def said(self) -> str:
        """All it wrote until now."""
        return self.log.read_text(errors="replace")

    @property
    def name(self) -> str:
        """What it calls itself in the tables; empty until it said so."""
        found = READY.search(self.said)
        return found[1] if found else ""

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def ready(self, seconds: float = 60) -> Scheduler:
        """Wait for the line that it started."""

        def started() -> bool:
            found = READY.search(self.said)
            if found:
                self.instance = found[1]
            assert found or self.alive, f"the scheduler ended with {self.process.returncode}: {self.said}"
            return found is not None

        wait_for(started, seconds, "the ready line")
        return self

    def catches(self, number: int) -> bool:
        """Whether it has a handler for this signal already."""
        found = re.search(r"^SigCgt:\s*(\w+)", Path(f"/proc/{self.pid}/status").read_text(), re.MULTILINE)
        return found is not None and bool(int(found[1], 16) >> (number - 1) & 1)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> float:
        """kill -9; answers the monotonic moment."""
        moment = time.monotonic()
        self.signal(signal.SIGKILL)
        self.process.wait(30)
        self.ended_at = moment
        return moment

    def pause(self) -> None:
        """SIGSTOP: it stands still as in a VM pause."""
        self.signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    def terminate(self) -> None:
        """SIGTERM: drain and leave."""
        self.signal(signal.SIGTERM)

    def ended(self, seconds: float = 60) -> int:
        """Wait for its end; answers the exit code."""
        code = self.process.wait(seconds)
        self.ended_at = self.ended_at or time.monotonic()
        return code

    def end(self) -> None:
        """Whatever state it is in: gone."""
        if self.alive:
            self.signal(signal.SIGKILL)
            self.process.wait(30)
