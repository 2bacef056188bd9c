"""Hears the rings of `executions.wake` on PostgreSQL. Losing every one of them costs latency only.

Whether rings arrive at all is tried, not believed: the listener rings itself through the connections that
everybody rings by. A connection that went silent is opened anew; a pooler that swallows notifications is told
in the log.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import psycopg
from django.conf import settings
from django.db import Error as DatabaseProblem
from django.db import connection

from executions import wake
from executions.engine import clock
from web import patience
from web.patience import PatientConnection

log = logging.getLogger(__name__)

STEP = 1.0  # seconds between looks whether to end
PROBE_AFTER = 20  # steps without a ring after which the connection is tried
RECONNECT_AFTER = 2.0
TRY_AGAIN_AFTER = 60.0  # where nothing is heard though the database answers
PROBE_LIMIT = 5.0  # seconds within which a ring of our own must be heard


class Deaf(Exception):
    """The database answers, and a ring of our own was not heard."""


class Listener:
    """A thread with a connection of its own that calls `ring` when another process rings."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._own_channel = f"scheduler_probe_{uuid4().hex}"
        self._told = False
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
            pause = RECONNECT_AFTER
            try:
                self._listen()
            except (psycopg.Error, DatabaseProblem) as error:
                log.info("not listening for a moment: %s", str(error).partition("\n")[0])
            except Deaf:
                pause = TRY_AGAIN_AFTER
                self._complain()
            self._ring()  # what was rung meanwhile is looked for
            self._stopped.wait(pause)

    def _complain(self) -> None:
        if not self._told:
            self._told = True
            log.warning(
                "notifications of PostgreSQL do not arrive, so the poll finds what others plan;"
                " behind PgBouncer in transaction mode set DB_PGBOUNCER=true"
            )

    def _listen(self) -> None:
        with PatientConnection.connect(**_parameters(), autocommit=True) as own:
            with patience.limit(PROBE_LIMIT):
                own.execute(f"LISTEN {self._own_channel}")
                own.execute(f"LISTEN {wake.CHANNEL}")
            self._probe(own)
            with suppress(Deaf):  # it has heard before, so it is half-open: another one is opened at once
                self._go_on_listening(own)

    def _go_on_listening(self, own: PatientConnection) -> None:
        quiet = 0
        while not self._stopped.is_set():
            quiet = 0 if self._hear(own) else quiet + 1
            if quiet >= PROBE_AFTER:
                self._probe(own)
                quiet = 0

    def _hear(self, own: PatientConnection) -> set[str]:
        """Wait a STEP for rings and pass them on; answers the channels that they came by."""
        heard = {notice.channel for notice in own.notifies(timeout=STEP, stop_after=1)}
        if wake.CHANNEL in heard:
            self._ring()
        return heard

    def _probe(self, own: PatientConnection) -> None:
        """Ring ourselves by another connection, as others do, and hear it. Raises Deaf."""
        ends_at = clock.monotonic() + PROBE_LIMIT
        try:
            with patience.limit(PROBE_LIMIT):
                wake.ring(self._own_channel)
        finally:
            connection.close()
        while not self._stopped.is_set():
            if self._own_channel in self._hear(own):
                self._told = False
                return
            if clock.monotonic() > ends_at:
                raise Deaf


def _parameters() -> dict[str, Any]:
    given = connection.get_connection_params()
    left_out = ("pool", "cursor_factory", "context", "prepare_threshold")
    return {name: value for name, value in given.items() if name not in left_out}
