"""Moved clocks: of one host (Python's own), and of the database.

The host's is moved in the started process; its monotonic clock stays as it is, as it does on real
machines. The database's is moved by a function that stands before PostgreSQL's own in the search
path; a file of SQLite has no clock but its host's, so there the engine's one reader is moved.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.fault.database import Database

_KEPT: list[Any] = []  # what would be undone if it were collected
JUMPS = (7200.0, -7200.0, 0.0, 86_400.0, -86_400.0)

MOVED_FUNCTION = """
CREATE FUNCTION fault_clock.statement_timestamp() RETURNS timestamptz STABLE LANGUAGE sql AS
$$ SELECT pg_catalog.statement_timestamp() + make_interval(secs => seconds) FROM fault_clock.shift $$
"""


def move_host(environ: Mapping[str, str]) -> None:
    """Move this process's wall clock as FAULT_HOST_CLOCK says: seconds, or `jumping`."""
    wanted = environ.get("FAULT_HOST_CLOCK", "")
    if wanted:
        _move_python(wanted)
    if file := environ.get("FAULT_DATABASE_CLOCK", ""):
        _move_engine(Path(file))


def _move_python(wanted: str) -> None:
    import time_machine

    first = JUMPS[0] if wanted == "jumping" else float(wanted)
    real = time.time
    offset = real() - time.monotonic()
    traveller = time_machine.travel(datetime.now(UTC) + timedelta(seconds=first), tick=True)
    coordinates = traveller.start()
    if wanted != "jumping":
        return

    def jump() -> None:
        number = 0
        while True:
            time.sleep(1)
            number += 1
            true = time.monotonic() + offset
            coordinates.move_to(true + JUMPS[number % len(JUMPS)])

    threading.Thread(target=jump, daemon=True).start()


def _move_engine(file: Path) -> None:
    from executions.engine import clock

    def shifted() -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(file.read_text()))

    _KEPT.append(clock.moved(shifted))
    _KEPT[-1].__enter__()


class DatabaseClock:
    """A clock of one database that tests may set forward and back while processes run."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._file = folder / "database-clock"
        self._file.write_text("0")
        if database.kind == "postgresql":
            name = urlsplit(database.url).path.lstrip("/")
            for statement in (
                "CREATE SCHEMA fault_clock",
                "CREATE TABLE fault_clock.shift (seconds double precision)",
                "INSERT INTO fault_clock.shift VALUES (0)",
                MOVED_FUNCTION,
                f"ALTER DATABASE {name} SET search_path = fault_clock, public, pg_catalog",
            ):
                database.write(statement)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to live by this clock."""
        return {} if self._database.kind == "postgresql" else {"FAULT_DATABASE_CLOCK": str(self._file)}

    def set(self, seconds: float) -> None:
        """Let it show this many seconds more than the truth."""
        if self._database.kind == "postgresql":
            self._database.write("UPDATE fault_clock.shift SET seconds = %s", [seconds])
        else:
            fresh = self._file.with_suffix(".new")
            fresh.write_text(str(seconds))
            fresh.replace(self._file)
