"""The databases of the fault tests: files of SQLite, and a PostgreSQL that may be crashed and started again.

The harness speaks plain SQL to them, on connections of its own; it knows no model of the product.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import psycopg

from tests import postgres
from tests.fault.processes import environment
from web.instants import InstantLoader

ROOT = Path(__file__).resolve().parents[2]

# Every change of an execution's state, written down by the database itself.
WITNESS = {
    "postgresql": (
        (
            "CREATE TABLE fault_moves (id bigserial PRIMARY KEY, execution_id uuid, source text, target text,"
            " attempt int, token uuid, at timestamptz DEFAULT clock_timestamp())"
        ),
        """
        CREATE FUNCTION fault_witness() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO public.fault_moves (execution_id, source, target, attempt, token)
            VALUES (NEW.id, CASE WHEN TG_OP = 'UPDATE' THEN OLD.status END, NEW.status, NEW.attempt,
                    NEW.token);
            RETURN NULL;
        END $$
        """,
        (
            "CREATE TRIGGER fault_born AFTER INSERT ON job_executions"
            " FOR EACH ROW EXECUTE FUNCTION fault_witness()"
        ),
        (
            "CREATE TRIGGER fault_moved AFTER UPDATE ON job_executions FOR EACH ROW"
            " WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION fault_witness()"
        ),
    ),
    "sqlite": (
        (
            "CREATE TABLE fault_moves (id integer PRIMARY KEY, execution_id char(32), source text, target text,"
            " attempt int, token char(32), at text DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')))"
        ),
        (
            "CREATE TRIGGER fault_born AFTER INSERT ON job_executions BEGIN"
            " INSERT INTO fault_moves (execution_id, source, target, attempt, token)"
            " VALUES (NEW.id, NULL, NEW.status, NEW.attempt, NEW.token); END"
        ),
        (
            "CREATE TRIGGER fault_moved AFTER UPDATE ON job_executions WHEN OLD.status IS NOT NEW.status BEGIN"
            " INSERT INTO fault_moves (execution_id, source, target, attempt, token)"
            " VALUES (NEW.id, OLD.status, NEW.status, NEW.attempt, NEW.token); END"
        ),
    ),
}


class Database:
    """One database of the product, reached by plain SQL. `%s` marks a parameter on both kinds."""

    kind: str
    url: str

    def __init__(self, url: str) -> None:
        self.url = url
        self.kind = "sqlite" if url.startswith("sqlite") else "postgresql"

    def connect(self) -> Any:
        """A new connection in autocommit."""
        if self.kind == "postgresql":
            connection: Any = psycopg.connect(self.url, autocommit=True, connect_timeout=5)
            connection.adapters.register_loader("timestamptz", InstantLoader)
            return connection
        path = self.url.removeprefix("sqlite:///")
        connection = sqlite3.connect(path, timeout=20, isolation_level=None)
        connection.execute("PRAGMA busy_timeout = 20000")
        return connection

    def fetch(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a statement; UUIDs as 32 digits, times as aware UTC."""
        connection = self.connect()
        try:
            cursor = connection.execute(self._spell(sql), [self._plain(value) for value in params])
            return [tuple(_read(value) for value in row) for row in cursor.fetchall()]
        finally:
            connection.close()

    def one(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """The only value of a statement."""
        return self.fetch(sql, params)[0][0]

    def write(self, sql: str, params: Sequence[Any] = ()) -> int:
        """Run a statement; answers how many rows it touched."""
        connection = self.connect()
        try:
            return int(connection.execute(self._spell(sql), [self._plain(v) for v in params]).rowcount)
        finally:
            connection.close()

    def insert(self, table: str, rows: Sequence[dict[str, Any]]) -> None:
        """Insert rows of the same columns in one transaction."""
        if not rows:
            return
        names = list(rows[0])
        places = ", ".join(["%s"] * len(names))
        sql = self._spell(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})")
        connection = self.connect()
        try:
            cursor = connection.cursor()
            connection.execute("BEGIN")
            cursor.executemany(sql, [[self._plain(row[name]) for name in names] for row in rows])
            connection.execute("COMMIT")
        finally:
            connection.close()

    def now(self) -> datetime:
        """The database's own clock."""
        if self.kind == "postgresql":
            return self.one("SELECT clock_timestamp()")  # type: ignore[no-any-return]
        return datetime.fromisoformat(self.one("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')")).replace(
            tzinfo=UTC
        )

    def moment(self, column: str) -> str:
        """SQL for a time column that reads alike on both kinds."""
        return column

    def _spell(self, sql: str) -> str:
        return sql if self.kind == "postgresql" else sql.replace("%s", "?")

    def _plain(self, value: Any) -> Any:
        if isinstance(value, UUID) and self.kind == "sqlite":
            return value.hex
        if isinstance(value, datetime) and self.kind == "sqlite":
            return str(value.astimezone(UTC).replace(tzinfo=None))
        if isinstance(value, dict | list):
            return json.dumps(value)
        return value


def _read(value: Any) -> Any:
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return value


def read_moment(value: Any) -> datetime | None:
    """A time that either kind answered, aware UTC."""
    if value is None or isinstance(value, datetime):
        return value
    return datetime.fromisoformat(value).replace(tzinfo=UTC)


class Cluster:
    """A PostgreSQL of the harness alone, with a migrated template to copy databases from."""

    def __init__(self) -> None:
        self.server = postgres.Server()
        for left in (2, 1, 0):
            try:
                self.server.start()
                break
            except postgres.Unavailable:
                if not left:
                    raise
                self.server.port = postgres.free_port()
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE template_product")
        prepare(Database(self.server.url("template_product")))

    def create(self) -> Database:
        """A fresh migrated database."""
        name = f"fault_{os.getpid()}_{secrets.token_hex(4)}"
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template_product")
        return Database(self.server.url(name))

    def drop(self, database: Database) -> None:
        """Take a database away, whoever is connected."""
        name = urlsplit(database.url).path.lstrip("/")
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def crash(self) -> None:
        """Stop it as a power cut would."""
        self.server.stop("immediate")

    def start(self) -> None:
        """Start it again after a crash."""
        self.server.start()

    def remove(self) -> None:
        """Stop it and delete its folder."""
        self.server.remove()


def prepare(database: Database) -> None:
    """Migrate the database and let it write down every change of state."""
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=ROOT,
        env=environment(database.url),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    connection = database.connect()
    for statement in WITNESS[database.kind]:
        connection.execute(statement)
    if database.kind == "sqlite":
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # so that the file alone is all of it
    connection.close()


class Files:
    """SQLite databases, each a copy of one migrated file."""

    def __init__(self, folder: Path) -> None:
        self.template = folder / "template.sqlite3"
        prepare(Database(f"sqlite:///{self.template}"))

    def create(self, folder: Path) -> Database:
        """A fresh migrated database in this folder."""
        path = folder / "product.sqlite3"
        shutil.copyfile(self.template, path)
        return Database(f"sqlite:///{path}")
