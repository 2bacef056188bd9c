"""What a refusal of the database means, in one line for people."""

from __future__ import annotations

from django.db import Error, InterfaceError, OperationalError
from psycopg import errors

_NOT_THERE = (errors.UndefinedTable, errors.UndefinedColumn)


def is_expected(problem: Error) -> bool:
    """Whether it is a matter of the installation, and not a defect of ours that a traceback would show."""
    return isinstance(problem, OperationalError | InterfaceError) or _lacks_something(problem)


def tell(problem: Error) -> str:
    """The problem, and what to do where that is known."""
    reason = str(problem).strip().partition("\n")[0]
    if _lacks_something(problem):
        return f"the database is not migrated ({reason}): run manage.py prepare_database"
    return f"the database does not answer: {reason}"


def _lacks_something(problem: Error) -> bool:
    in_sqlite = str(problem).startswith(("no such table", "no such column"))
    return in_sqlite or isinstance(problem.__cause__, _NOT_THERE)
