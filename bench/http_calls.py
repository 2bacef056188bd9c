"""How many HTTP executions a second, beside Celery threads that make the same call?

    python -m bench.http_calls [--rows 10000] [--jobs 400] [--slots 50] [--no-celery]

1. A fast target in a process of its own. Every execution waits in the ledger, is claimed, called,
   and stored with status, body and attempt row. Floor: the same POST over one kept connection, in
   a plain loop, so that the target can be seen not to be the limit. Peer: Celery threads, as many
   as we have slots, that make the same POST with requests (a kept session for each thread) and
   store status and body in the same PostgreSQL, by Celery's result backend and, which is faster,
   by an INSERT over a kept connection (broker Redis, in an environment of its own under .cache/).
2. A thousand targets that answer after a second, 200 slots. Floor: slots / latency.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from bench import celery_peer
from bench.database import own_database
from bench.table import Table

ROOT = Path(__file__).resolve().parent.parent
FLOOR = "the target, one connection in a plain loop"
OURS = "engine, one process"
PEERS = {
    "backend": "Celery threads, result backend",
    "insert": "Celery threads, own INSERT",
}
NOTES = {
    FLOOR: "no engine, nothing stored",
    OURS: "accepted from 3 times the better Celery, goal 6",
}
BODY = json.dumps(
    {
        "jobId": "0b8a5c3e-6c1f-4d2a-9d1e-6f0a3b1c2d3e",
        "jobName": "call-1",
        "executionId": "5f0c9a34-6a0e-4b43-8a53-0a4b5d2f7c11",
        "scheduledAt": "2026-01-20T10:00:00.000Z",
        "attemptNumber": 1,
        "payload": {},
        "metadata": None,
    },
    separators=(",", ":"),
).encode()
FILL_JOBS = """
INSERT INTO batch_jobs (job_name, cron_expression, status, api_endpoint)
SELECT 'call-' || g, '0 0 1 1 *', 'active',
       'http://127.0.0.1:' || (%(ports)s::int[])[1 + g %% %(count)s] || '/ok'
  FROM generate_series(1, %(jobs)s) g
"""
FILL_EXECUTIONS = """
INSERT INTO job_executions (id, job_id, scheduled_at, next_attempt_at)
SELECT gen_random_uuid(), j.id, now() - g * interval '1 minute', now() - g * interval '1 minute'
  FROM generate_series(1, %s) g, batch_jobs j
"""
STORED = """
SELECT count(*) FROM job_executions e JOIN batch_job_logs l ON l.execution_id = e.id AND l.status = 'success'
 WHERE e.status = 'SUCCESS' AND e.http_status_code = 200 AND e.response_body = '{"ok":true}'
"""


@contextmanager
def target(*, ports: int = 1, delay_ms: int = 0) -> Iterator[list[int]]:
    """A fast target in a process of its own; answers its ports."""
    command = [sys.executable, "-m", "tests.e2e.http_targets", "--ports", str(ports)]
    served = subprocess.Popen(
        [*command, "--delay-ms", str(delay_ms)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert served.stdout is not None
    try:
        yield [int(port) for port in served.stdout.readline().split()]
    finally:
        served.terminate()
        served.wait()


def call_plainly(port: int, *, rows: int) -> float:
    """The same bytes over one kept connection, nothing parsed: what target and loopback can do."""
    head = f"POST /ok HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(BODY)}\r\n"
    request = f"{head}Content-Type: application/json\r\n\r\n".encode() + BODY
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        started = time.perf_counter()
        for _ in range(rows):
            connection.sendall(request)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        return rows / (time.perf_counter() - started)


def fill(connection: psycopg.Connection, ports: list[int], *, rows: int, jobs: int) -> None:
    """Waiting executions of jobs that call these ports in turn."""
    connection.execute("TRUNCATE batch_jobs CASCADE")
    connection.execute(FILL_JOBS, {"ports": ports, "count": len(ports), "jobs": jobs})
    connection.execute(FILL_EXECUTIONS, [rows // jobs])
    connection.execute("VACUUM ANALYZE")


def by_engine(connection: psycopg.Connection, *, rows: int, slots: int) -> float:
    """One process of the engine, in this process; every execution must be stored whole."""
    from executions import egress
    from executions.engine.config import read_config
    from executions.engine.loop import Engine

    engine = Engine(read_config(concurrency=slots))
    started = time.perf_counter()
    engine.run_once()
    spent = time.perf_counter() - started
    egress.caller().close()
    (stored,) = connection.execute(STORED).fetchone() or (0,)
    assert stored == rows, f"{stored} of {rows} executions were stored with status, body and attempt"
    return rows / spent


def compare(address: str, options: argparse.Namespace) -> None:
    """The first question."""
    table = Table(f"HTTP executions against a fast target, {options.slots} slots", unit="runs/s")
    figures: dict[str, list[float]] = {}
    with target() as (port,), psycopg.connect(address, autocommit=True) as connection:
        for _ in range(options.rounds):
            figures.setdefault(FLOOR, []).append(call_plainly(port, rows=options.rows))
            fill(connection, [port], rows=options.rows, jobs=options.jobs)
            found = by_engine(connection, rows=options.rows, slots=options.slots)
            figures.setdefault(OURS, []).append(found)
            for way in celery_peer.WAYS if options.celery else ():
                peer = celery_peer.call(way, address, port, BODY, rows=2000, slots=options.slots)
                figures.setdefault(PEERS[way], []).append(peer)
    for name, found_all in figures.items():
        table.add(name, median(found_all), NOTES.get(name, ""))
    best = max(
        (name for name in PEERS.values() if name in figures),
        key=lambda name: median(figures[name]),
        default=FLOOR,
    )
    table.show(floor=best)


def wait_for_slow(address: str, options: argparse.Namespace) -> None:
    """The second question."""
    slots, targets, latency = 200, 1000, 1.0
    rows = targets * options.slow_rounds
    table = Table(f"{targets} targets that answer after {latency:g} s, {slots} slots", unit="runs/s")
    slow = target(ports=targets, delay_ms=int(latency * 1000))
    with slow as ports, psycopg.connect(address, autocommit=True) as connection:
        fill(connection, ports, rows=rows, jobs=targets)
        rate = by_engine(connection, rows=rows, slots=slots)
    table.add("slots / latency", slots / latency)
    table.add(OURS, rate, "from 0.90")
    table.show(floor="slots / latency")


def median(figures: list[float]) -> float:
    return sorted(figures)[len(figures) // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=400)
    parser.add_argument("--slots", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slow-rounds", type=int, default=4, help="calls to each of the slow targets")
    parser.add_argument("--no-celery", dest="celery", action="store_false")
    options = parser.parse_args()
    os.environ["HTTP_ALLOWED_CIDRS"] = "127.0.0.0/8"
    with own_database() as address:
        compare(address, options)
        wait_for_slow(address, options)


if __name__ == "__main__":
    main()
