"""Hears the rings of `executions.wake` on PostgreSQL. Losing every one of them costs latency only."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection

from executions.wake import CHANNEL
from web import patience
from web.patience import PatientConnection

log = logging.getLogger("scheduler.listener")

STEP = 1.0  # seconds between looks whether to end
PROBE_AFTER = 20  # steps without a ring after which the connection is tried
RECONNECT_AFTER = 2.0
PROBE_LIMIT = 5.0  # seconds without an answer after which the connection is half-open


class Listener:
    """A thread with a connection of its own that calls `ring` when another process rings."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="listener", daemon=True)

    def start(self) -> None:
        """Begin to listen, where there is something to listen to."""
        if connection.vendor == "postgresql" and not settings.DB_PGBOUNCER:
            self._thread.start()

    def stop(self) -> None:
        """End, and give the connection back within STEP."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(2 * STEP)

    def _serve(self) -> None:
        while not self._stopped.is_set():
            try:
                self._listen()
            except psycopg.Error as error:
                log.info("not listening for a moment: %s", str(error).partition("\n")[0])
            self._ring()  # what was rung meanwhile is looked for
            self._stopped.wait(RECONNECT_AFTER)

    def _listen(self) -> None:
        with PatientConnection.connect(**_parameters(), autocommit=True) as own:
            with patience.limit(PROBE_LIMIT):
                own.execute(f"LISTEN {CHANNEL}")
            quiet = 0
            while not self._stopped.is_set():
                quiet += 1
                for _ in own.notifies(timeout=STEP, stop_after=1):
                    quiet = 0
                    self._ring()
                if quiet >= PROBE_AFTER:
                    quiet = 0
                    with patience.limit(PROBE_LIMIT):
                        own.execute("SELECT 1")


def _parameters() -> dict[str, Any]:
    given = connection.get_connection_params()
    left_out = ("pool", "cursor_factory", "context", "prepare_threshold")
    return {name: value for name, value in given.items() if name not in left_out}
