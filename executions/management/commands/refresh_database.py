"""`manage.py refresh_database`: throws all data away and begins again. Development only."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import Error, connection, transaction

from executions import workers
from executions.engine import clock


class Command(BaseCommand):
    """Drops every table, migrates, and seeds. Refuses to run anywhere but in development."""

    help = "Drop all data, migrate and seed (development only)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--force", action="store_true", help="also while a scheduler works on the database"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.APP_ENV != "development":
            raise CommandError(
                f"This drops all data, so it runs only in development, and APP_ENV is {settings.APP_ENV}"
            )
        others = find_schedulers()
        if others and not options["force"]:
            raise CommandError(
                f"A scheduler works on this database ({', '.join(others)}). Stop it first"
                " (one that was killed counts for half a minute), or say --force."
            )
        drop_all_tables()
        call_command("migrate", interactive=False, verbosity=options["verbosity"])
        call_command("seed")


def find_schedulers() -> list[str]:
    """The processes that were heard lately; none where there are no tables."""
    try:
        with transaction.atomic():
            return [row.id for row in workers.live_rows(clock.now())]
    except Error:
        return []


def drop_all_tables() -> None:
    """Drop every table of the database that the connection may see, whoever made it."""
    with connection.cursor() as cursor:
        names = [table.name for table in connection.introspection.get_table_list(cursor) if table.type == "t"]
        if connection.vendor == "postgresql":
            for name in names:
                cursor.execute(f"DROP TABLE IF EXISTS {connection.ops.quote_name(name)} CASCADE")
        else:
            cursor.execute("PRAGMA foreign_keys=OFF")
            for name in names:
                cursor.execute(f"DROP TABLE IF EXISTS {connection.ops.quote_name(name)}")
            cursor.execute("PRAGMA foreign_keys=ON")
