"""A database of its own for a measurement: made, migrated, and dropped again.

The server is the one that TEST_DATABASE_URL or DATABASE_URL names, else a private one from a wheel.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from bench.table import cpu_seconds

NAMES = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}


def add_choice(parser: ArgumentParser) -> None:
    """`--database`, for the questions that both databases answer."""
    parser.add_argument("--database", choices=tuple(NAMES), default="postgresql")


@contextmanager
def own_database(vendor: str = "postgresql", *, settings: str = "scheduler_site.settings") -> Iterator[str]:
    """Set Django up on a fresh database; yields its address."""
    with _own_sqlite() if vendor == "sqlite" else _own_postgresql() as address:
        try:
            _set_up(address, settings)
            yield address
        finally:
            _close()


@contextmanager
def _own_postgresql() -> Iterator[str]:
    from tests import postgres

    server = os.environ.get("TEST_DATABASE_URL") or os.environ.get("DATABASE_URL") or postgres.server_url()
    name = f"bench_{os.getpid()}_{secrets.token_hex(3)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    try:
        yield urlunsplit(urlsplit(server)._replace(scheme="postgresql", path=f"/{name}"))
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def _own_sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/bench.sqlite3"


def _set_up(address: str, settings: str) -> None:
    os.environ["DATABASE_URL"] = address
    os.environ["DJANGO_SETTINGS_MODULE"] = settings
    os.environ["APP_ENV"] = "test"
    for name in ("SECRET_KEY", "JWT_SECRET"):
        os.environ.setdefault(name, secrets.token_urlsafe(48))
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


def _close() -> None:
    from django.db import connections

    for connection in connections.all():
        connection.close()
        if connection.vendor == "postgresql":
            connection.close_pool()  # type: ignore[attr-defined]


def backend_seconds() -> float:
    """What the server's processes for this database have used of the processors; 0 on SQLite.

    Counts live connections on this machine only, so ask before they close.
    """
    from django.db import connection

    if not is_postgresql():
        return 0.0
    with connection.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
        pids = [row[0] for row in cursor.fetchall()]
    return sum(cpu_seconds(pid) for pid in pids if Path(f"/proc/{pid}/stat").exists())


def settle() -> None:
    """Leave no work for later to the server: fresh statistics, no dead rows, all written."""
    from django.db import connection

    with connection.cursor() as cursor:
        if is_postgresql():
            cursor.execute("VACUUM ANALYZE")
            cursor.execute("CHECKPOINT")
        else:
            cursor.execute("ANALYZE")


# Words of SQL that the two databases say differently, for filling tables -----------------------------


def is_postgresql() -> bool:
    """Whether the measurement runs on PostgreSQL."""
    from django.db import connection

    return connection.vendor == "postgresql"


def numbers(count: int) -> str:
    """A table with one column n that counts from 1."""
    if is_postgresql():
        return f"(SELECT n FROM generate_series(1, {count}) AS n) AS numbers"
    counting = f"SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count}"
    return f"(WITH RECURSIVE s(n) AS ({counting}) SELECT n FROM s) AS numbers"


def in_seconds(expression: str) -> str:
    """The moment so many seconds from now."""
    if is_postgresql():
        return f"statement_timestamp() + ({expression}) * interval '1 second'"
    return f"strftime('%Y-%m-%d %H:%M:%S', 'now', ({expression}) || ' seconds')"


def new_id() -> str:
    """A random UUID."""
    return "gen_random_uuid()" if is_postgresql() else "lower(hex(randomblob(16)))"


def fill(statement: str) -> None:
    """Run a statement without parameters."""
    from executions.rows import write

    write(statement.replace("%", "%%"))
