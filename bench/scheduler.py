"""The real command beside a measurement: started, watched from outside, and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.table import cpu_seconds

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def scheduler(*arguments: str) -> Iterator[int]:
    """`manage.py run_scheduler` on the database of the measurement; yields its pid once it is ACTIVE."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "run_scheduler", *arguments],
            cwd=ROOT,
            env=os.environ | {"LOG_LEVEL": "warn"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            wait_for(is_active, seconds=180, what="the scheduler", step=0.01)
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    assert process.returncode == 0, f"the scheduler ended with {process.returncode}"


def is_active() -> bool:
    """Whether a scheduler has entered itself."""
    from executions.models import Instance

    return Instance.objects.filter(status="ACTIVE").exists()


def wait_for(done: Callable[[], bool], *, seconds: float, what: str, step: float = 0.05) -> None:
    """Ask until it says so. Raises SystemExit when that takes too long."""
    ends_at = time.monotonic() + seconds
    while not done():
        if time.monotonic() > ends_at:
            raise SystemExit(f"{what}: not within {seconds:.0f} s")
        time.sleep(step)


class Usage:
    """What a process and the server behind it use of one processor over a block, in percent."""

    process = 0.0
    backends = 0.0

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def __enter__(self) -> Usage:
        self._before = self._read()
        return self

    def __exit__(self, *_: object) -> None:
        since, process, backends = self._before
        now, process_now, backends_now = self._read()
        self.process = 100 * (process_now - process) / (now - since)
        self.backends = 100 * (backends_now - backends) / (now - since)

    def _read(self) -> tuple[float, float, float]:
        from bench.database import backend_seconds

        return time.monotonic(), cpu_seconds(self._pid), backend_seconds()
