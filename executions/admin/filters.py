"""How lists over the ledger are narrowed down, each by an index of the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from executions import health, metrics, statistics
from executions.engine import clock
from executions.models import FINAL, WAITING, Reason, Status, Trigger
from jobs.models import Job
from web.admin.lists import LinkedFilter

SPANS = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
# How the address of a list names a full hour.
HOUR = "%Y-%m-%dT%H"
# States that have a reason; their part of the ledger is small and has an index.
WITH_REASON = (Status.FAILED, Status.RETRYING, Status.SKIPPED, Status.CANCELLED)


class StatusFilter(admin.SimpleListFilter):
    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [
            *((status.value, status.value.lower()) for status in Status),
            ("waiting", "waiting (pending or retrying)"),
            ("late", "late (due and waiting)"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value == "waiting":
            return queryset.filter(status__in=WAITING)
        if value == "late":
            return queryset.filter(status__in=WAITING, next_attempt_at__lte=clock.now())
        return queryset.filter(status=value) if value in Status.values else queryset


class EndedFilter(admin.SimpleListFilter):
    """By the time of the end, or of the fire time where it has not ended."""

    title = "ended within"
    parameter_name = "ended"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("1h", "an hour"), ("24h", "24 hours"), ("7d", "7 days"), ("30d", "30 days")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        span = SPANS.get(self.value() or "")
        return queryset.filter(completed_at__gte=clock.now() - span) if span else queryset


class HourFilter(LinkedFilter):
    """One full hour of the dashboard's chart: what ended in it."""

    title = "ended in the hour"
    parameter_name = "hour"

    def describe(self, value: str) -> str:
        hour = _read_hour(value)
        return f"{hour:%Y-%m-%d %H:%M} UTC" if hour else value[:60]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        hour = _read_hour(self.value() or "")
        if hour is None:
            return queryset.none()
        return queryset.filter(completed_at__gte=hour, completed_at__lt=hour + timedelta(hours=1))


def _read_hour(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, HOUR).replace(tzinfo=UTC)
    except ValueError:
        return None


class _Recent(admin.SimpleListFilter):
    """A column without an index: one job's part of the ledger, else its newest part."""

    column = ""
    words: list[tuple[str, str]] = []
    reach = timedelta(days=1)

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return self.words

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value is None:
            return queryset
        queryset = queryset.filter(**{self.column: value})
        if request.GET.get("job") or request.GET.get("status") in ("waiting", "late", "RUNNING", *WAITING):
            return queryset
        return queryset.filter(scheduled_at__gte=clock.now() - self.reach)


class TriggerFilter(_Recent):
    title = "trigger (last 24 h)"
    parameter_name = "trigger"
    column = "trigger"
    words = [(trigger.value, trigger.value) for trigger in Trigger]


class ReasonFilter(_Recent):
    title = "reason (last 7 days)"
    parameter_name = "reason"
    column = "reason"
    reach = timedelta(days=7)
    words = [(reason.value, str(reason.label)) for reason in Reason]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        found = super().queryset(request, queryset)
        return found.filter(status__in=WITH_REASON) if self.value() else found


class QueueFilter(LinkedFilter):
    title = "queue"
    parameter_name = "queue"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(queue=self.value()) if self.value() else queryset


class JobFilter(LinkedFilter):
    title = "job"
    parameter_name = "job"

    def describe(self, value: str) -> str:
        name = Job.objects.filter(pk=read_number(value)).values_list("name", flat=True).first()
        return (name or f"number {value}")[:60]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(job_id=read_number(self.value())) if self.value() else queryset


class LetterJobFilter(JobFilter):
    """Dead letters keep the number of their job themselves."""


class ErrorFilter(LinkedFilter):
    title = "error"
    parameter_name = "error"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(error_details__message=self.value()) if self.value() else queryset


class ResolvedFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "resolved"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("yes", "Resolved"), ("all", "All")]

    def choices(self, changelist: ChangeList) -> Any:
        first, *others = super().choices(changelist)
        yield {**first, "display": "Open"}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "all":
            return queryset
        return queryset.filter(resolved=self.value() == "yes")


class FailedFilter(admin.SimpleListFilter):
    title = "failed within"
    parameter_name = "failed"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("1h", "an hour"), ("24h", "24 hours"), ("7d", "7 days")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        span = SPANS.get(self.value() or "")
        return queryset.filter(failed_at__gte=clock.now() - span) if span else queryset


def count_kept(status: str | None, ended: str | None) -> int | None:
    """How many executions these two filters mean, by the counts that the database keeps; else None."""
    now = clock.now()
    if ended == "24h":
        recent = metrics.count_recent(now)
        wanted: tuple[str, ...] = FINAL if status is None else (status,)
        return sum(recent.get(one, 0) for one in wanted) if set(wanted) <= set(FINAL) else None
    if ended is not None:
        return None
    if status == "late":
        return health.count_due(now)
    totals = statistics.totals()
    wanted = {None: tuple(totals), "waiting": WAITING}.get(status, (status or "",))
    return sum(totals[one].count for one in wanted) if set(wanted) <= set(totals) else None


def read_number(text: str | None) -> int:
    """A job's number out of an address; what is none names no job."""
    return int(text) if text and text.isdecimal() and len(text) < 19 else 0


def by_job(rows: QuerySet[Any], term: str) -> Q:
    """What a search over the ledger means: an id, or jobs whose name holds the text."""
    names = Job.objects.filter(name__icontains=term).order_by("id").values_list("id", flat=True)[:20]
    return Q(job_id__in=list(names))
