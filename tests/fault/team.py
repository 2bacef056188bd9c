"""ENGINE=celery as one process to break: a scheduler that plans and rings, and a Celery worker.

`python -m tests.fault.team [--concurrency N]` starts both in its own process group, passes signals on, and
ends when either of them does. FAULT_VISIBILITY is Redis's visibility time-out in seconds, FAULT_POOL the kind
of the worker's pool.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.fault.processes import Scheduler, wait_for

CHILDREN, MOST = 6, 12  # processes, where a scheduler has threads
STARTED = re.compile(r"worker (worker-\S+) started \(pid (\d+)\)")
COUNT = "--concurrency"


class Team(Scheduler):
    """Both processes and their children, killed and stopped together."""

    command = ("-m", "tests.fault.team")

    def __init__(
        self, database_url: str, log: Path, *arguments: str, extra: Mapping[str, str] | None = None
    ) -> None:
        asked = int(arguments[arguments.index(COUNT) + 1]) if COUNT in arguments else CHILDREN
        self.children = min(asked, MOST)
        settings = {"ENGINE": "celery", **(extra or {})}
        super().__init__(database_url, log, COUNT, str(self.children), extra=settings)

    def ready(self, seconds: float = 180) -> Team:
        """Wait until the scheduler and every child of the worker's pool have started."""
        super().ready(seconds)
        wait_for(lambda: len(self.workers()) >= self.children, seconds, "the children of the worker")
        return self

    def workers(self) -> list[int]:
        """The process ids of all children that ever started."""
        return [int(found[2]) for found in STARTED.finditer(self.said)]

    def end(self) -> None:
        """Its leader may be gone before the others."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(30)

    def signal(self, number: signal.Signals) -> None:
        """To every process of the team, but SIGTERM to its leader, who passes it on."""
        if number == signal.SIGTERM:
            os.kill(self.pid, number)
        else:
            os.killpg(self.pid, number)


def lead(arguments: list[str]) -> int:
    """Start both and wait; answers the code of the first that ended, or 0 when both left in order."""
    app = "tests.fault.celery_app" if "FAULT_VISIBILITY" in os.environ else "scheduler_site"
    worker = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "celery",
        "-A",
        app,
        "worker",
        "--hostname",
        f"{os.getpid()}@%h",
    ]
    if pool := os.environ.get("FAULT_POOL"):
        worker += ["--pool", pool]
    both = [
        subprocess.Popen([sys.executable, "manage.py", "run_scheduler"]),
        subprocess.Popen([*worker, *arguments]),
    ]
    asked = False

    def pass_on(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        for one in both:
            if one.poll() is None:
                one.send_signal(number)

    signal.signal(signal.SIGTERM, pass_on)
    while True:
        codes = [one.poll() for one in both]
        if None not in codes:
            return next((code for code in codes if code), 0) or 0
        if not asked and codes != [None, None]:
            for one in both:
                one.kill()
            return next(code for code in codes if code is not None) or 1
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(lead(sys.argv[1:]))
