"""The values of a subquery as one JSON array, so that a list of jobs is one query and not three."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import JSONField, QuerySet, Subquery
from django.db.models.expressions import F
from django.db.models.sql.compiler import SQLCompiler


class Listed(Subquery):
    """`Listed(rows, "tag__name")`: the column of the rows, in their order; an empty array for none."""

    template = "(SELECT coalesce(jsonb_agg(listed.one), '[]'::jsonb) FROM (%(subquery)s) AS listed)"
    sqlite_template = "(SELECT json_group_array(listed.one) FROM (%(subquery)s) AS listed)"

    def __init__(self, rows: QuerySet[Any], column: str) -> None:
        super().__init__(rows.values(one=F(column)), output_field=JSONField())

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, Any]:
        return self.as_sql(compiler, connection, template=self.sqlite_template, **context)
