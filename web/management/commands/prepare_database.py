"""`manage.py prepare_database`: what a container does before it serves. It never drops data."""

from __future__ import annotations

import fcntl
import os
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, connections
from django.db.utils import OperationalError

# Any number will do, as long as all releases use the same one.
LOCK = 7_316_540_021
PAUSE_SECONDS = 0.5


class Command(BaseCommand):
    """Waits for the database, then migrates it; of several containers one migrates and the others wait."""

    help = "Wait for the database and migrate it, one process at a time."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--wait", type=float, default=60, help="seconds to wait for the database (60)")

    def handle(self, *args: Any, **options: Any) -> None:
        self.wait(seconds=options["wait"])
        with locked():
            call_command("migrate", interactive=False, verbosity=options["verbosity"])

    def wait(self, *, seconds: float) -> None:
        """Return when the database answers; raises CommandError after `seconds` of silence."""
        end = time.monotonic() + seconds
        told = False
        while True:
            try:
                try_to_connect()
                return
            except OperationalError as error:
                if time.monotonic() >= end:
                    reason = str(error).strip().splitlines()[0]
                    raise CommandError(
                        f"The database does not answer after {seconds:g} s: {reason}"
                    ) from error
            if not told:
                self.stderr.write("Waiting for the database …")
                told = True
            time.sleep(PAUSE_SECONDS)


def try_to_connect() -> None:
    """Open one connection, past the pool, which would go on trying by itself. Raises OperationalError."""
    if connection.vendor != "postgresql":
        connection.ensure_connection()
        return
    import psycopg

    try:
        psycopg.connect(**connection.get_connection_params()).close()
    except psycopg.OperationalError as error:
        raise OperationalError(str(error)) from error


@contextmanager
def locked() -> Iterator[None]:
    """Hold the right to migrate; others wait here until it is given back, also by a crash."""
    if connection.vendor == "postgresql":
        # A connection of its own, and the lock of a transaction: both also hold behind PgBouncer.
        holder = connections.create_connection("default")
        try:
            holder.set_autocommit(False)
            with holder.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = 0")
                cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            yield
        finally:
            holder.rollback()
            holder.close()
    else:
        folder = os.open(Path(connection.settings_dict["NAME"]).parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)
