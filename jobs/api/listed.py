"""Parts of the job object that are other tables' rows, as columns of the one query that reads the job.

The text of these subqueries never changes, so it is written and not composed: composing took a third of the
time of an answer.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BooleanField, JSONField
from django.db.models.expressions import RawSQL
from django.db.models.sql.compiler import SQLCompiler

TAG_NAMES = """
    SELECT tag.name AS one FROM job_tag_associations AS bond JOIN job_tags AS tag ON tag.id = bond.tag_id
     WHERE bond.job_id = batch_jobs.id
"""
AWAITED = """
    SELECT other.uuid AS one FROM job_dependencies AS bond
      JOIN batch_jobs AS other ON other.id = bond.depends_on_job_id
     WHERE bond.job_id = batch_jobs.id ORDER BY bond.created_at, bond.id
"""
RUNNING = """
    EXISTS (SELECT 1 FROM job_executions AS execution
             WHERE execution.job_id = batch_jobs.id AND execution.status = 'RUNNING')
"""


class Listed(RawSQL):
    """The column `one` of a statement about the outer job as one JSON array; empty where there is none."""

    def __init__(self, sql: str) -> None:
        super().__init__(sql, (), JSONField())

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, Any]:
        return f"(SELECT coalesce(jsonb_agg(listed.one), '[]'::jsonb) FROM ({self.sql}) AS listed)", ()

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_: Any) -> tuple[str, Any]:
        return f"(SELECT json_group_array(listed.one) FROM ({self.sql}) AS listed)", ()


def is_running() -> RawSQL:
    """Whether an execution of the outer job is RUNNING."""
    return RawSQL(RUNNING, (), BooleanField())  # noqa: S611 - a constant without parameters
