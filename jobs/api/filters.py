"""Which jobs a list shows, and in which order."""

from __future__ import annotations

from typing import Any

from django.db.models import Case, F, Q, QuerySet, When
from drf_spectacular.utils import OpenApiParameter

from jobs.api import dialect
from jobs.models import JobState, JobTag
from web.api.query import QueryReader, day_parameter

SORTS = {
    "createdAt": "created_at",
    "updatedAt": "updated_at",
    "name": "name",
    "nextRunAt": "next_run_at",
    "priority": "priority",
}
ORDERS = ("asc", "desc")

PARAMETERS = [
    OpenApiParameter(
        "status",
        enum=[word.upper() for word in JobState.values] + ["pending", "running", "completed", "failed"],
        description="Any state or status, in any case; deleted jobs are listed only by DELETED",
    ),
    OpenApiParameter("type", enum=list(dialect.TYPES)),
    OpenApiParameter("tag", description="The name of a tag"),
    OpenApiParameter("search", description="Part of the name or the description"),
    day_parameter("fromDate", "Created then or later"),
    day_parameter("toDate", "Created then or earlier"),
    OpenApiParameter("sortBy", enum=list(SORTS), default="createdAt"),
    OpenApiParameter("order", enum=list(ORDERS), default="desc"),
]


def filter_jobs(jobs: QuerySet[Any], query: QueryReader) -> QuerySet[Any]:
    """The jobs that the query asks for, in its order; the key decides between equals.

    Expects jobs annotated with `is_running`.
    """
    wanted = Q()
    status = query.word("status", dialect.STATUS_WORDS)
    wanted &= dialect.with_status(status) if status else Q()
    if status != JobState.DELETED:
        wanted &= ~Q(state=JobState.DELETED)
    if word := query.word("type", dialect.TYPES):
        wanted &= dialect.with_type(word)
    if tag := query.text("tag", max_length=100):
        wanted &= Q(pk__in=JobTag.objects.filter(tag__name=tag).values("job_id"))
    if search := query.text("search"):
        wanted &= Q(name__icontains=search) | Q(description__icontains=search)
    if since := query.since("fromDate"):
        wanted &= Q(created_at__gte=since)
    if until := query.until("toDate"):
        wanted &= Q(created_at__lt=until)
    return jobs.filter(wanted).order_by(*_order(query))


def _order(query: QueryReader) -> list[Any]:
    column = SORTS[query.word("sortBy", SORTS) or "createdAt"]
    ascending = query.word("order", ORDERS) == "asc"
    key = F("id").asc() if ascending else F("id").desc()
    if column == "next_run_at":  # only here there may be none, and the databases differ on where they go
        # A job that is off shows no next run, though the planner's cursor stays in its row.
        shown = Case(When(state=JobState.ACTIVE, then=F(column)))
        nulls = {"nulls_last": True}
        return [shown.asc(**nulls) if ascending else shown.desc(**nulls), key]
    return [F(column).asc() if ascending else F(column).desc(), key]
