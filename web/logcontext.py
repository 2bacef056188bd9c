"""What a log line is about: request, job, execution and attempt, known to every line written meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

Field = str | int

NOTHING: Mapping[str, Field] = MappingProxyType({})
_fields: ContextVar[Mapping[str, Field]] = ContextVar("log_fields", default=NOTHING)


@contextmanager
def bound(
    *,
    request_id: str | None = None,
    job_id: str | None = None,
    execution_id: str | None = None,
    attempt: int | None = None,
) -> Iterator[None]:
    """Every log line of this thread (or task) inside the block carries these fields too.

    Blocks nest: an inner one adds to the outer one and takes its own fields away at its end. A field
    given as None is left as it is. A thread begins with nothing, so bind inside the thread.
    """
    given = {"requestId": request_id, "jobId": job_id, "executionId": execution_id, "attempt": attempt}
    token = _fields.set(
        {**_fields.get(), **{key: value for key, value in given.items() if value is not None}}
    )
    try:
        yield
    finally:
        _fields.reset(token)


def current() -> Mapping[str, Field]:
    """The fields bound at this moment, by the names they have in a log line."""
    return _fields.get()
