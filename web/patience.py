"""How long a thread waits for an answer of PostgreSQL, so that a half-open connection never holds it.

A peer that acknowledges every packet and answers none (a stalled proxy, a host that stands still) is
invisible to keepalives and to every time-out of TCP. So the wait itself is bounded: a connection that did
not answer in time is closed, and the statement ends with an OperationalError as on any broken connection.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.abc import PQGen

CHECK_LIMIT = 2.0  # seconds for the round trip that tells whether a pooled connection is alive
ROLLBACK_LIMIT = 5.0

_own = threading.local()


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Let each statement of this thread wait at most so long; the shortest limit around it counts."""
    before = present()
    _own.seconds = seconds if before is None else min(before, seconds)
    try:
        yield
    finally:
        _own.seconds = before


def present() -> float | None:
    """The limit of this thread, in seconds; None where there is none."""
    seconds: float | None = getattr(_own, "seconds", None)
    return seconds


class PatientConnection(psycopg.Connection[Any]):
    """A connection that waits for each answer as long as its thread's limit allows.

    The pool's own checks and rollbacks are always bounded: nobody chose to wait for them.
    """

    @classmethod
    def connect(cls, conninfo: str = "", **options: Any) -> PatientConnection:
        """Open a connection that reads every time, those beyond Python's too."""
        from web.instants import InstantLoader  # the settings name this class before Django is set up

        connection: PatientConnection = super().connect(conninfo, **options)
        connection.adapters.register_loader("timestamptz", InstantLoader)
        return connection

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for the server; closes the connection when the limit is over."""
        allowed = present()
        if allowed is None or timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, allowed)
        except psycopg.errors._WaitTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError(
                f"no answer within {allowed:g} s; the connection was closed"
            ) from None

    def execute(self, query: Any, *args: Any, **options: Any) -> psycopg.Cursor[Any]:
        """Run a statement; the empty one, by which the pool checks a connection, is bounded."""
        if query:
            return super().execute(query, *args, **options)
        with limit(CHECK_LIMIT):
            return super().execute(query, *args, **options)

    def rollback(self) -> None:
        """Roll back; bounded, because the pool does it in threads of its own."""
        with limit(ROLLBACK_LIMIT):
            super().rollback()
