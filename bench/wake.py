"""From a manual trigger in one process to the handler in another: `python -m bench.wake [--count 200]`.

The scheduler is the real command, in a process of its own. What it runs calls an address of this process, so
both ends are read from one clock. Triggers come one at a time, at moments that no poll knows. Beside it: the
same scheduler without notifications (it polls), and a bare NOTIFY heard by a bare LISTEN.
"""

from __future__ import annotations

import argparse
import random
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from bench.database import own_database
from bench.table import Finding, load, machine, percentile, publish
from tests.e2e.http_targets import OK
from tests.fault.processes import Scheduler, wait_for

WARM_UP = 10
GAP = (0.05, 0.15)  # seconds between a call and the next trigger


class Target:
    """An address that answers at once and notes the monotonic moment of each call."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/ok"
        self.called_at = 0.0
        self._called = threading.Semaphore(0)
        threading.Thread(target=self._serve, daemon=True).start()

    def wait(self) -> float:
        """The moment of the next call."""
        assert self._called.acquire(timeout=60), "the handler was not called within a minute"
        return self.called_at

    def _serve(self) -> None:
        open_ones: list[socket.socket] = [self._listener]
        while True:
            for ready in select.select(open_ones, [], [])[0]:
                if ready is self._listener:
                    open_ones.append(ready.accept()[0])
                elif ready.recv(65536):
                    self.called_at = time.monotonic()
                    ready.sendall(OK)
                    self._called.release()
                else:
                    open_ones.remove(ready)
                    ready.close()


def measure(count: int, once: Callable[[], float]) -> list[float]:
    """The seconds of each of `count` tries, after some that warm up."""
    times = []
    for number in range(WARM_UP + count):
        time.sleep(random.uniform(*GAP))
        seconds = once()
        if number >= WARM_UP:
            times.append(seconds)
    return times


@contextmanager
def scheduler(address: str, *, listens: bool) -> Iterator[None]:
    """The real command with its usual poll of a second."""
    extra = {
        "SCHEDULER_POLL_INTERVAL_MS": "1000",
        "LEASE_SECONDS": "30",
        "HTTP_ALLOWED_CIDRS": "127.0.0.0/8",
        "DB_PGBOUNCER": "false" if listens else "true",
    }
    with tempfile.TemporaryDirectory() as folder:
        process = Scheduler(address, Path(folder) / "log", extra=extra).ready()
        try:
            yield
        finally:
            process.terminate()
            process.ended()


def wait_for_listener() -> None:
    """Return when the scheduler listens."""
    from django.db import connection

    def listens() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN scheduler_wake'"
                " AND datname = current_database()"
            )
            return bool(cursor.fetchone()[0])

    wait_for(listens, 30, "the listener")


BARE = """
import sys, time, psycopg
with psycopg.connect(sys.argv[1], autocommit=True) as connection:
    connection.execute("LISTEN bench_bare")
    print("ready", flush=True)
    for _ in connection.notifies():
        print(time.monotonic(), flush=True)
"""


def bare(address: str, count: int) -> list[float]:
    """A NOTIFY on one connection, heard by another process: what no scheduler can be faster than."""
    listener = subprocess.Popen([sys.executable, "-c", BARE, address], stdout=subprocess.PIPE, text=True)
    assert listener.stdout is not None
    assert listener.stdout.readline() == "ready\n"
    with psycopg.connect(address, autocommit=True) as connection:

        def once() -> float:
            begun = time.monotonic()
            connection.execute("NOTIFY bench_bare")
            assert listener.stdout is not None
            return float(listener.stdout.readline()) - begun

        times = measure(count, once)
    listener.kill()
    listener.wait()
    return times


def triggered(target: Target, job: object) -> tuple[float, float]:
    """Trigger and wait for the call; seconds from the request, and from its commit."""
    from executions import operations
    from jobs.audit import Actor

    begun = time.monotonic()
    operations.trigger(job, by=Actor(name="bench"))  # type: ignore[arg-type]
    committed = time.monotonic()
    called = target.wait()
    return called - begun, called - committed


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    count = parser.parse_args().count
    with own_database() as address:
        from jobs.models import Job

        target = Target()
        job = Job.objects.create(
            name="wake", cron_expression="0 0 1 1 *", api_endpoint=target.url, max_concurrent_executions=5
        )
        found: list[tuple[str, list[float]]] = [("a bare NOTIFY, heard", bare(address, count))]
        for listens in (True, False):
            name = "listening" if listens else "polling once a second"
            with scheduler(address, listens=listens):
                if listens:
                    wait_for_listener()
                pairs: list[tuple[float, float]] = []

                def once(pairs: list[tuple[float, float]] = pairs) -> float:
                    pairs.append(triggered(target, job))
                    return pairs[-1][0]

                number = count if listens else max(20, count // 5)
                found.append((f"{name}: trigger to call", measure(number, once)))
                found.append((f"{name}: commit to call", [after for _, after in pairs[WARM_UP:]]))
    print(f"\nFrom a manual trigger to the call of its handler, across processes\n{machine()}\n")
    for name, times in found:
        row = "  ".join(
            f"{label} {1000 * percentile(times, share):8.1f} ms"
            for label, share in (("p50", 0.5), ("p99", 0.99))
        )
        print(f"  {name:<40} {row}   worst {1000 * max(times):8.1f} ms   n={len(times)}")
    slowest = {name: 1000 * percentile(times, 0.99) for name, times in found}
    figure, beside = slowest["listening: trigger to call"], "polling once a second: trigger to call"
    publish(
        [
            Finding(
                question="From a manual trigger to the call in another process: p99",
                figure=f"{figure:.1f} ms",
                beside=f"{beside.partition(':')[0]}: {slowest[beside]:.0f} ms",
                ratio=figure / slowest[beside],
                reach="≤ 50 ms",
                reached=figure <= 50,
                load=load(),
            )
        ]
    )


if __name__ == "__main__":
    main()
