"""A comparison that treats NULL as a value, on both databases."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, ForeignObject, Lookup
from django.db.models.sql.compiler import SQLCompiler


@ForeignObject.register_lookup
@Field.register_lookup
class Differs(Lookup[Any]):
    """`a__differs=b`: the two are not the same, where NULL equals NULL and nothing else.

    IS DISTINCT FROM of the SQL standard; SQLite spells it IS NOT.
    """

    lookup_name = "differs"
    operator = "IS DISTINCT FROM"
    sqlite_operator = "IS NOT"

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, Any]:
        left, left_params = self.process_lhs(compiler, connection)
        right, right_params = self.process_rhs(compiler, connection)
        return f"{left} {self.operator} {right}", (*left_params, *right_params)

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, Any]:
        left, left_params = self.process_lhs(compiler, connection)
        right, right_params = self.process_rhs(compiler, connection)
        return f"{left} {self.sqlite_operator} {right}", (*left_params, *right_params)


@ForeignObject.register_lookup
@Field.register_lookup
class Same(Differs):
    """`a__same=b`: the opposite of `differs`. (Not `~Q(differs)`: Django adds NULL tests to it.)"""

    lookup_name = "same"
    operator = "IS NOT DISTINCT FROM"
    sqlite_operator = "IS"
