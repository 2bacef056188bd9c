"""How the list of jobs is narrowed down, by an index or by one pass over the jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.cache import cache
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest

from accounts.models import User
from jobs import definitions, forecast, manifest
from jobs.models import AppliedDefinition, Job, JobState, Tag
from web.admin.lists import LinkedFilter

MOST = 50
KEPT_SECONDS = 60


class StateFilter(admin.SimpleListFilter):
    """Deleted jobs are shown only when asked for."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(state, str(state)) for state in JobState.values]

    def choices(self, changelist: ChangeList) -> Any:
        first, *others = super().choices(changelist)
        yield {**first, "display": "All but deleted"}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(state=value) if value else queryset.exclude(state=JobState.DELETED)


class KindFilter(admin.SimpleListFilter):
    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("cron", "cron"), ("recurring", "recurring"), ("one_time", "one time")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(schedule_type=self.value()) if self.value() else queryset


class OutcomeFilter(admin.SimpleListFilter):
    """What the newest run came to."""

    title = "last outcome"
    parameter_name = "outcome"
    conditions = {
        "failing": Q(consecutive_failures__gt=0),
        "fine": Q(consecutive_failures=0, last_run_at__isnull=False),
        "never": Q(last_run_at=None),
        "broken": Q(schedule_error__isnull=False),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [
            ("failing", "Failing"),
            ("fine", "Not failing"),
            ("never", "Never ran"),
            ("broken", "Schedule cannot be read"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        condition = self.conditions.get(self.value() or "")
        return queryset if condition is None else queryset.filter(condition)


class DueFilter(admin.SimpleListFilter):
    """Jobs by their next run."""

    title = "next run"
    parameter_name = "next"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("planned", "Has one"), ("none", "Has none")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        has = Q(state=JobState.ACTIVE, next_run_at__isnull=False)
        return {"planned": queryset.filter(has), "none": queryset.exclude(has)}.get(
            self.value() or "", queryset
        )


class FileFilter(admin.SimpleListFilter):
    """Jobs that a file made, and those of them that were changed elsewhere since."""

    title = "file"
    parameter_name = "file"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("made", "Made by a file"), ("drifted", "Differs from its file")]

    def has_output(self) -> bool:
        return bool(self.value()) or AppliedDefinition.objects.exists()

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "drifted":
            return queryset.filter(pk__in=list(manifest.find_drifted(Job.objects.present())))
        return queryset.filter(applied__isnull=False) if self.value() == "made" else queryset


class FiresFilter(LinkedFilter):
    """One slot of the dashboard's heat map: the jobs that fire in it."""

    title = "fires from"
    parameter_name = "fires"

    def describe(self, value: str) -> str:
        return f"{value[:16].replace('T', ' ')} UTC, for {forecast.SLOT // timedelta(minutes=1)} minutes"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        try:
            start = datetime.strptime(self.value() or "", "%Y-%m-%dT%H:%M").replace(tzinfo=UTC)
            return queryset.filter(forecast.firing(start, start + forecast.SLOT))
        except (ValueError, OverflowError):
            return queryset.none()


class HandlerFilter(admin.SimpleListFilter):
    """By the handler that does the work, however it was found."""

    title = "handler"
    parameter_name = "handler"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(name, name) for name in definitions.list_usable(staff=True)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        unnamed = Q(handler=None) | Q(handler="")
        has_url = Q(api_endpoint__isnull=False) & ~Q(api_endpoint="")
        if value == "http":
            return queryset.filter(Q(handler="http") | (unnamed & has_url))
        own = unnamed & ~has_url & Q(name=value)
        if value == "default":
            names = definitions.list_usable(staff=True)
            own = unnamed & ~has_url & ~Q(name__in=[name for name in names if name != "default"])
        return queryset.filter(Q(handler=value) | own)


class TagFilter(admin.SimpleListFilter):
    title = "tag"
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        names = Tag.objects.order_by("name").values_list("name", flat=True).distinct()[:MOST]
        return _with_chosen([(name, name[:40]) for name in names], request.GET.get("tag"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        return queryset.filter(id__in=Tag.objects.filter(name=value).values("job_tags__job_id"))


class QueueFilter(admin.SimpleListFilter):
    title = "queue"
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(name, name) for name in _kept("queue", lambda: _distinct("queue"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(queue=self.value()) if self.value() else queryset


class OwnerFilter(admin.SimpleListFilter):
    title = "owner"
    parameter_name = "owner"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        owners = User.objects.filter(pk__in=_kept("owner", lambda: _distinct("user_id")))
        people = owners.order_by("email").values_list("pk", "email")[:MOST]
        return [("none", "nobody"), *((str(key), email) for key, email in people)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value == "none":
            return queryset.filter(user=None)
        known = {key for key, _ in self.lookup_choices}
        return queryset.filter(user_id=value) if value in known else queryset


def _distinct(column: str) -> list[Any]:
    return list(Job.objects.order_by(column).values_list(column, flat=True).distinct()[:MOST])


def _kept(name: str, read: Callable[[], list[Any]]) -> list[Any]:
    """What a pass over all jobs answers, kept for a minute; a new job is seen at once."""
    newest = Job.objects.order_by("-id").values_list("id", flat=True).first()
    key = f"job-filter-{name}-{newest}"
    found: list[Any] | None = cache.get(key)
    if found is None:
        found = read()
        cache.set(key, found, KEPT_SECONDS)
    return found


def _with_chosen(choices: list[tuple[str, str]], chosen: str | None) -> list[tuple[str, str]]:
    """A choice beyond the first ones that a link asks for is offered too."""
    if chosen and chosen not in {value for value, _ in choices}:
        choices.append((chosen, chosen[:40]))
    return choices


NEXT_RUN = F("next_run_at").asc(nulls_last=True)
