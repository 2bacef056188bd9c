"""Database defaults that mean the same on PostgreSQL and SQLite.

A ``db_default`` travels through several rounds of ``%`` formatting (the Func template, the schema
editor, the parameters of an INSERT), and not every round happens on every path. So no template here
contains a percent sign.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import DateTimeField, Func, UUIDField
from django.db.models.sql.compiler import SQLCompiler


class RandomUUID(Func):
    """A random version 4 UUID, made by the database, in the form that a UUIDField stores."""

    template = "gen_random_uuid()"
    arity = 0
    output_field = UUIDField()

    # Django keeps a UUID as 32 lower-case hex digits in SQLite.
    sqlite_template = (
        "lower(hex(randomblob(6)) || '4' || substr(hex(randomblob(2)), 2)"
        " || substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(8)), 2))"
    )

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, Any]:
        return self.as_sql(compiler, connection, template=self.sqlite_template, **context)


class DatabaseNow(Func):
    """The start of the current statement by the database's clock, as an aware UTC time.

    Unlike ``django.db.models.functions.Now`` the text that SQLite stores is exactly the text that
    Django's adapter writes for a datetime (six digits of fraction, or none when it is zero), so that
    times from both sources compare and equal each other as text.
    """

    template = "statement_timestamp()"
    arity = 0
    output_field = DateTimeField()

    # char(37) is the percent sign; SQLite's own fraction has three digits.
    sqlite_template = (
        "replace(strftime(replace('#Y-#m-#d #H:#M:#f', '#', char(37)), 'now') || '000', '.000000', '')"
    )

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, Any]:
        return self.as_sql(compiler, connection, template=self.sqlite_template, **context)
