"""`manage.py refresh_database`: throws all data away and begins again. Development only."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection


class Command(BaseCommand):
    """Drops every table, migrates, and seeds. Refuses to run anywhere but in development."""

    help = "Drop all data, migrate and seed (development only)."

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.APP_ENV != "development":
            raise CommandError(
                f"This drops all data, so it runs only in development, and APP_ENV is {settings.APP_ENV}"
            )
        drop_all_tables()
        call_command("migrate", interactive=False, verbosity=options["verbosity"])
        call_command("seed")


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
