"""`make run` as a newcomer meets it: one command, a page that answers, one Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import postgres
from tests.fault.database import Database

ROOT = Path(__file__).resolve().parents[2]


class Demo:
    """A demo that was started, and what it has printed so far."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.port = int(environment["PORT"])
        self.printed = ""
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "demo"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def read_until(self, text: str) -> None:
        """Read its output up to the line with this text; fails with all of it when there is none."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed += line
            if text in line:
                return
        pytest.fail(f"{text!r} was never printed:\n{self.printed}")

    def ask(self, path: str) -> tuple[int, bytes]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return answer.status, answer.read()

    def end(self, number: int = signal.SIGINT) -> int:
        """Send the signal, read the rest, and answer the exit code."""
        self.process.send_signal(number)
        self.printed += self.process.communicate(timeout=60)[0]
        return self.process.returncode

    def handles(self) -> list[int]:
        """Web and scheduler as pidfds, which tell of their end."""
        return [os.pidfd_open(pid) for pid in self.children().values()]

    def children(self) -> dict[str, int]:
        """The process ids of web and scheduler."""
        found = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
                command = path.with_name("cmdline").read_text()
            except OSError:
                continue  # it ended while we looked
            if int(fields[1]) == self.process.pid:
                found["scheduler" if "run_scheduler" in command else "web"] = int(path.parent.name)
        return found


def all_end(processes: list[int], *, within: float = 60) -> bool:
    """Whether these processes (as pidfds) have all ended, waiting for it up to `within` seconds."""
    end_at = time.monotonic() + within
    return all(select.select([one], [], [], max(0, end_at - time.monotonic()))[0] for one in processes)


@contextmanager
def demos(database_url: str, folder: Path) -> Iterator[Callable[[], Demo]]:
    """Starts demos on this database; whatever still runs at the end is killed."""
    started: list[Demo] = []
    unset = ("APP_ENV", "TEST_DATABASE", "TEST_DATABASE_URL", "DATABASE_URL")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= {
        "DATABASE_URL": database_url,
        "EXPORT_DIRECTORY": str(folder / "exports"),
        "PORT": str(postgres.free_port()),
        "PYTHONUNBUFFERED": "1",
    }

    def start_demo() -> Demo:
        started.append(Demo(environment))
        return started[-1]

    yield start_demo
    for demo in started:
        if demo.process.poll() is None:
            demo.process.kill()
            demo.process.communicate(timeout=60)


@pytest.fixture
def start(migrated_url: str, tmp_path: Path) -> Iterator[Callable[[], Demo]]:
    with demos(migrated_url, tmp_path) as starter:
        yield starter


@pytest.fixture
def start_on_nothing(database_url: str, tmp_path: Path) -> Iterator[Callable[[], Demo]]:
    with demos(database_url, tmp_path) as starter:
        yield starter


def test_one_command_starts_everything_and_one_interrupt_ends_it(
    start_on_nothing: Callable[[], Demo],
) -> None:
    demo = start_on_nothing()
    demo.read_until("Ctrl-C stops web and scheduler.")
    children, handles = demo.children(), demo.handles()
    status, health = demo.ask("/api/v1/health")

    assert status == 200
    assert json.loads(health)["database"] == "connected"
    assert demo.ask("/api/v1/jobs")[0] == 200, "a guest may look at the demo"
    assert set(children) == {"web", "scheduler"}
    assert re.search(r"admin@example.com, password \S{12}$", demo.printed, re.MULTILINE)

    assert demo.end() == 0, demo.printed
    assert all_end(handles, within=0)
    assert demo.printed.rstrip().endswith("Stopped.")
    assert "Finishing what runs" in demo.printed
    assert "Another scheduler" not in demo.printed
    assert "Traceback" not in demo.printed


def test_it_works_a_second_time_and_does_not_print_a_password_again(start: Callable[[], Demo]) -> None:
    first = start()
    first.read_until("Ctrl-C stops")
    assert first.end(signal.SIGTERM) == 0

    second = start()
    second.read_until("Ctrl-C stops")
    assert "as printed at the first start" in second.printed
    assert "Another scheduler" not in second.printed, "the first one has left"
    assert second.end() == 0


@pytest.mark.parametrize("victim", ["web", "scheduler"])
def test_when_one_of_the_two_dies_the_other_is_ended_and_the_exit_code_tells(
    start: Callable[[], Demo], victim: str
) -> None:
    demo = start()
    demo.read_until("Ctrl-C stops")
    handles = demo.handles()
    os.kill(demo.children()[victim], signal.SIGKILL)
    demo.read_until(f"The {victim} process ended by itself")

    assert demo.process.wait(timeout=60) != 0
    assert all_end(handles, within=0)


def test_a_taken_port_is_told_in_one_line(start: Callable[[], Demo]) -> None:
    first = start()
    first.read_until("Ctrl-C stops")
    second = start()
    output = second.process.communicate(timeout=60)[0]

    assert second.process.returncode == 1
    assert output.count("\n") == 1
    assert f"Port {first.port} cannot be used (Address already in use)" in output
    assert first.end() == 0


def test_another_scheduler_on_the_same_database_is_told_of(
    migrated_url: str, start: Callable[[], Demo]
) -> None:
    Database(migrated_url).insert("scheduler_metadata", [{"id": "scheduler-elsewhere", "status": "ACTIVE"}])
    demo = start()
    demo.read_until("Ctrl-C stops")
    assert "Another scheduler was heard here a moment ago, scheduler-elsewhere" in demo.printed
    assert demo.end() == 0


def test_when_the_demo_itself_is_killed_nothing_of_it_keeps_running(start: Callable[[], Demo]) -> None:
    demo = start()
    demo.read_until("Ctrl-C stops")
    handles = demo.handles()
    demo.end(signal.SIGKILL)

    assert len(handles) == 2
    assert all_end(handles)
