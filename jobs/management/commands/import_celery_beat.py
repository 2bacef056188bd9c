"""`manage.py import_celery_beat`: the periodic tasks of django-celery-beat as jobs."""

from __future__ import annotations

import difflib
import sys
import warnings
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from django.db.utils import ConnectionHandler

from executions.engine import clock
from jobs.audit import Actor
from jobs.importers import celery_beat
from jobs.importers.celery_beat import Beat, read_moment
from jobs.management.importing import save
from jobs.registry import handlers

TASKS = "django_celery_beat_periodictask"
TABLES = {
    "crontabs": "django_celery_beat_crontabschedule",
    "intervals": "django_celery_beat_intervalschedule",
    "solars": "django_celery_beat_solarschedule",
    "clocks": "django_celery_beat_clockedschedule",
}
MOMENTS = ("last_run_at", "start_time", "expires", "clocked_time")


class Command(BaseCommand):
    """Reads only; may be run again: tasks that were imported before are known by their name.

    Exit code 1 when a task was left out; the others are imported.
    """

    help = "Import periodic tasks of django-celery-beat; --dry-run tells what cannot be carried over."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--database-url", metavar="URL", help="where its tables are; else our own")
        parser.add_argument(
            "--map",
            action="append",
            default=[],
            metavar="TASK=HANDLER",
            help="the handler that does a task's work here; may be repeated",
        )
        parser.add_argument("--inactive", action="store_true", help="import all of it switched off")
        parser.add_argument("--dry-run", action="store_true", help="only tell what would become of each task")

    def handle(self, *args: Any, **options: Any) -> None:
        given = read_map(options["map"])
        try:
            with connected(options["database_url"]) as database:
                beat = read_tables(database)
        except (DatabaseError, ImproperlyConfigured) as error:
            raise CommandError(f"The tables cannot be read: {str(error).strip()}") from error
        refuse_unknown_tasks(given, beat)
        found = celery_beat.read_beat(beat, now=clock.now(), find_handler=HandlerFinder(given))
        by = Actor(name="import_celery_beat", is_staff=True)
        report = save(found, by=by, dry_run=options["dry_run"], inactive=options["inactive"])
        report.write(self.stdout, dry_run=options["dry_run"])
        if report.lost:
            sys.exit(1)


def read_map(pairs: list[str]) -> dict[str, str]:
    """TASK=HANDLER pairs; raises CommandError for another form, or a handler that does not exist."""
    found = {}
    for pair in pairs:
        task, sign, handler = pair.partition("=")
        if not sign or not task or not handler:
            raise CommandError(f"--map {pair!r} must look like TASK=HANDLER")
        if handler not in handlers:
            raise CommandError(f"--map {pair!r}: no handler is named {handler}")
        found[task] = handler
    return found


def refuse_unknown_tasks(names: Iterable[str], beat: Beat) -> None:
    """Raise CommandError for the first name that no periodic task runs, with the nearest that one does."""
    tasks = sorted({str(task["task"]) for task in beat.tasks})
    for name in names:
        if name not in tasks:
            near = difflib.get_close_matches(name, tasks, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise CommandError(f"--map {name}: no periodic task runs {name}{hint}")


class HandlerFinder:
    """A task's handler: the mapped one, else the one of the same name, whole or its last part."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given

    def __call__(self, task: str) -> str | None:
        if task in self._given:
            return self._given[task]
        last = task.rpartition(".")[2]
        return next((name for name in (task, last, last.replace("_", "-")) if name in handlers), None)


@contextmanager
def connected(url: str | None) -> Iterator[Any]:
    """A connection to this database, or to our own."""
    if url is None:
        yield connection
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it warns of is refused below, in one line
            config = environ.Env.db_url_config(url)
    except ValueError as error:
        raise CommandError(f"--database-url cannot be read: {error}") from error
    if config.get("ENGINE") not in ("django.db.backends.postgresql", "django.db.backends.sqlite3"):
        raise CommandError("--database-url must begin with postgres:// or sqlite:///")
    if config["ENGINE"].endswith("sqlite3") and not Path(config["NAME"]).is_file():
        raise CommandError(f"--database-url: there is no file {config['NAME']}")
    other = ConnectionHandler({"default": config})["default"]
    try:
        yield other
    finally:
        other.close()


def read_tables(database: Any) -> Beat:
    """All rows of its tables; raises CommandError where they are not there."""
    there = set(database.introspection.table_names())
    if TASKS not in there:
        raise CommandError(f"There is no table {TASKS} in this database; --database-url names another one")
    rows = {name: _rows(database, table) if table in there else [] for name, table in TABLES.items()}
    keyed = {name: {row["id"]: row for row in found} for name, found in rows.items()}
    return Beat(tasks=_rows(database, TASKS), **keyed)


def _rows(database: Any, table: str) -> list[dict[str, Any]]:
    with database.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table}")
        names = [column[0] for column in cursor.description]
        return [_moments(dict(zip(names, row, strict=True))) for row in cursor.fetchall()]


def _moments(row: dict[str, Any]) -> dict[str, Any]:
    return row | {name: read_moment(row[name]) for name in MOMENTS if name in row}
