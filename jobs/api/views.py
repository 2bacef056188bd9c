"""Jobs and their verbs."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.idempotency import idempotent
from executions import operations
from executions.engine import clock
from executions.models import Execution
from jobs import definitions
from jobs.api import bodies, dialect, examples, history
from jobs.api.answers import detailed, warn_of
from jobs.api.filters import PARAMETERS, filter_jobs
from jobs.api.previews import preview_job
from jobs.api.serializers import (
    ActorSerializer,
    AuditSerializer,
    BackfilledSerializer,
    BackfillSerializer,
    JobChangesSerializer,
    JobSerializer,
    JobTagsSerializer,
    NewJobSerializer,
    PauseSerializer,
    PreviewSerializer,
    RescheduleSerializer,
    ResumeSerializer,
    RollbackSerializer,
    SavedJobSerializer,
    TagSerializer,
    TriggeredSerializer,
    TriggerSerializer,
    VersionSerializer,
)
from jobs.api.tags import counted
from jobs.audit import Actor, actor_of
from jobs.models import AuditEntry, Job, JobState, JobVersion, Tag
from web.api.query import QueryReader
from web.api.routes import link
from web.api.views import ApiViewSet
from web.errors import Invalid, NotFound

OPERATE = "jobs.operate_job"
CHANGE = "jobs.change_job"


class JobViewSet(ApiViewSet):
    """Jobs: what should run, when, under which policies."""

    queryset = Job.objects.all()
    serializer_class = JobSerializer
    lookup_field = "uuid"
    noun = "Job"
    items_key = "jobs"
    rights = {
        "update": CHANGE,
        "partial_update": CHANGE,
        "destroy": "jobs.delete_job",
        "clone": CHANGE,
        "rollback": CHANGE,
        "set_tags": CHANGE,
        "pause": OPERATE,
        "resume": OPERATE,
        "cancel": OPERATE,
        "reschedule": OPERATE,
        "trigger": OPERATE,
        "backfill": OPERATE,
    }

    def get_queryset(self) -> QuerySet[Any]:
        jobs: Any = super().get_queryset()
        return jobs if self.action == "list" else jobs.present()  # type: ignore[no-any-return]

    @extend_schema(parameters=PARAMETERS, responses=JobSerializer(many=True), examples=examples.JOBS)
    def list(self, request: Request) -> Response:
        """The caller's jobs, newest first; staff see everybody's."""
        with QueryReader(request.query_params) as query:
            jobs = filter_jobs(detailed(self.get_queryset()), query)
        return self.list_page(jobs)

    @extend_schema(request=NewJobSerializer, responses={201: SavedJobSerializer}, examples=examples.NEW_JOBS)
    @idempotent
    def create(self, request: Request) -> Response:
        """Make a job. `warnings` tell what is legal in it but often not meant."""
        job, given, actor = bodies.read_new(request.data, user=request.user)
        return self._create(job, given, actor)

    @extend_schema(responses=JobSerializer, examples=examples.JOB)
    def retrieve(self, request: Request, **address: Any) -> Response:
        """One job."""
        key = self.kwargs["id"]
        job = detailed(self.get_queryset()).filter(uuid=key).first()
        if job is None:
            raise NotFound(self.noun)
        return Response(self.get_serializer(job).data)

    @extend_schema(request=JobChangesSerializer, responses=SavedJobSerializer, examples=examples.JOB_CHANGES)
    def update(self, request: Request, **address: Any) -> Response:
        """Change the fields that the body has; absent ones stay, null clears (as PATCH)."""
        return self._change(request)

    @extend_schema(request=JobChangesSerializer, responses=SavedJobSerializer, examples=examples.JOB_CHANGES)
    def partial_update(self, request: Request, **address: Any) -> Response:
        """Change the fields that the body has; absent ones stay, null clears."""
        return self._change(request)

    @extend_schema(request=None, responses=JobSerializer)
    def destroy(self, request: Request, **address: Any) -> Response:
        """End the job for good: what waits is cancelled, what runs finishes, history stays."""
        job = self.get_object()
        return self._answer(operations.delete(job, by=self._actor()))

    @extend_schema(request=PauseSerializer, responses=JobSerializer, examples=examples.PAUSE)
    def pause(self, request: Request, **address: Any) -> Response:
        """active → paused, with a reason and perhaps an end. 409 from any other state."""
        job, body = self.get_object(), self.read_body(PauseSerializer)
        actor = self._actor(body)
        operations.pause(job, by=actor, reason=body.get("reason") or "", until=body.get("until"))
        return self._answer(job)

    @extend_schema(request=ResumeSerializer, responses=JobSerializer, examples=examples.RESUME)
    def resume(self, request: Request, **address: Any) -> Response:
        """paused, inactive, cancelled → active; `catchUp` says what becomes of the time off."""
        job, body = self.get_object(), self.read_body(ResumeSerializer)
        operations.resume(job, by=self._actor(body), catch_up=body.get("catch_up", "none"))
        return self._answer(job)

    @extend_schema(request=ActorSerializer, responses=JobSerializer)
    def cancel(self, request: Request, **address: Any) -> Response:
        """active, paused, inactive → cancelled: what waits is cancelled, what runs finishes."""
        job, body = self.get_object(), self.read_body(ActorSerializer)
        operations.cancel(job, by=self._actor(body))
        return self._answer(job)

    @extend_schema(request=RescheduleSerializer, responses=JobSerializer, examples=examples.RESCHEDULE)
    def reschedule(self, request: Request, **address: Any) -> Response:
        """A new time for a one-time job, a new anchor for a recurring one, a new next run for a cron job."""
        job, body = self.get_object(), self.read_body(RescheduleSerializer)
        operations.reschedule(job, body["scheduled_at"], by=self._actor(body))
        return self._answer(job)

    @extend_schema(request=TriggerSerializer, responses=TriggeredSerializer, examples=examples.TRIGGER)
    @idempotent
    def trigger(self, request: Request, **address: Any) -> Response:
        """Run the job now, besides its schedule; `payload` stands in for the job's this once."""
        job, body = self.get_object(), self.read_body(TriggerSerializer)
        actor, payload = self._actor(body), body.get("payload")
        if payload is not None:
            self._check_payload(job, payload, actor)
        key = operations.trigger(job, by=actor, payload=payload)
        execution = Execution.objects.get(id=key)
        return Response(
            {
                "executionId": str(key),
                "id": str(key),
                "jobId": str(job.uuid),
                "status": dialect.say_status(execution.status, job),
                "scheduledAt": execution.scheduled_at,
            }
        )

    @extend_schema(request=BackfillSerializer, responses=BackfilledSerializer, examples=examples.BACKFILL)
    @idempotent
    def backfill(self, request: Request, **address: Any) -> Response:
        """Run the fire times of a past range, by the schedule of now; at most 10,000."""
        job, body = self.get_object(), self.read_body(BackfillSerializer)
        done = operations.backfill(
            job,
            body["from_"],
            body["to"],
            by=self._actor(body),
            reprocess=body["reprocess"],
            max_concurrent=body["max_concurrent"],
            dry_run=body["dry_run"],
        )
        times = done.scheduled_at
        shown = times if len(times) <= 100 else [*times[:50], *times[-50:]]
        return Response({"count": done.count, "scheduledAt": shown})

    @extend_schema(request=NewJobSerializer, responses={201: SavedJobSerializer}, examples=examples.CLONE)
    def clone(self, request: Request, **address: Any) -> Response:
        """Make a copy with the changes of the body: `<name> (copy)` and inactive unless it says otherwise."""
        job, given, actor = bodies.read_clone(request.data, self.get_object(), user=request.user)
        return self._create(job, given, actor)

    @extend_schema(request=RollbackSerializer, responses=SavedJobSerializer, examples=examples.ROLLBACK)
    def rollback(self, request: Request, **address: Any) -> Response:
        """Take the definition of an earlier version again, as a new one."""
        job, body = self.get_object(), self.read_body(RollbackSerializer)
        actor = self._actor(body)
        history.check_version(job, body["version"], staff=actor.is_staff)
        operations.rollback(job, body["version"], by=actor)
        return self._answer(job, warns=True)

    @extend_schema(
        parameters=[
            OpenApiParameter("count", int, default=10, description="1 to 100"),
            OpenApiParameter("from", str, description="A time; now where it is absent"),
        ],
        responses=PreviewSerializer,
    )
    def preview(self, request: Request, **address: Any) -> Response:
        """What the schedule means, and when it fires next."""
        job = self.get_object()
        with QueryReader(request.query_params) as query:
            count = query.whole("count", 10, low=1, high=100)
            start = query.moment("from")
        return Response(preview_job(job, count=count, start=start, now=clock.now()))

    @extend_schema(responses=VersionSerializer(many=True))
    def versions(self, request: Request, **address: Any) -> Response:
        """Every definition that the job had, newest first."""
        job = self.get_object()
        self.items_key = "versions"  # type: ignore[misc]
        page = self.paginate_queryset(JobVersion.objects.filter(job=job).order_by("-version", "-id"))
        return self.get_paginated_response(history.describe_versions(job, page or []))

    @extend_schema(responses=AuditSerializer(many=True))
    def audit(self, request: Request, **address: Any) -> Response:
        """Who did what to the job, newest first."""
        job = self.get_object()
        self.items_key = "audit"  # type: ignore[misc]
        page = self.paginate_queryset(AuditEntry.objects.filter(job=job).order_by("-timestamp", "-id"))
        context = {**self.get_serializer_context(), "job": job}
        return self.get_paginated_response(AuditSerializer(page, many=True, context=context).data)

    @extend_schema(responses=TagSerializer(many=True))
    def list_tags(self, request: Request, **address: Any) -> Response:
        """The job's tags by name."""
        self.items_key = "tags"  # type: ignore[misc]
        tags = counted(Tag.objects.filter(jobs=self.get_object())).order_by("name", "id")
        return self.get_paginated_response(TagSerializer(self.paginate_queryset(tags), many=True).data)

    @extend_schema(request=JobTagsSerializer, responses=JobSerializer)
    def set_tags(self, request: Request, **address: Any) -> Response:
        """Give the job these tags, made where they are missing, and no others."""
        job, body = self.get_object(), self.read_body(JobTagsSerializer)
        operations.update(job, {}, by=self._actor(body), tags=_read_tags(body["tags"]))
        return self._answer(job)

    def _create(self, job: Job, given: bodies.Given, actor: Actor) -> Response:
        job = operations.create(job, by=actor, tags=given.tags or (), depends_on=given.depends_on or ())
        return self._answer(job, warns=True, status=201, headers={"Location": link(f"/jobs/{job.uuid}")})

    @transaction.atomic
    def _change(self, request: Request) -> Response:
        """Check against the row as it is now, then save and move, all or nothing."""
        job = self._lock(self.get_object())
        before = definitions.resolve_handler(job)
        given, actor = bodies.read_change(request.data, job, user=request.user)
        if given.columns or given.tags is not None or given.depends_on is not None:
            operations.update(job, given.columns, by=actor, tags=given.tags, depends_on=given.depends_on)
        if given.state is not None:
            move(job, given.state, by=actor)
        return self._answer(job, warns=True, handler_before=before)

    def _lock(self, job: Job) -> Job:
        locked: Job | None = Job.objects.select_for_update(of=("self",)).present().filter(pk=job.pk).first()
        if locked is None:
            raise NotFound(self.noun)
        return locked

    def _actor(self, body: dict[str, Any] | None = None) -> Actor:
        return actor_of(self.request.user, called=(body or {}).get("changed_by"))

    def _check_payload(self, job: Job, payload: dict[str, Any], actor: Actor) -> None:
        problems = definitions.check_change(job, {"payload": payload}, staff=actor.is_staff)
        if problems:
            raise Invalid(dialect.name_problems(problems))

    def _answer(
        self,
        job: Job,
        *,
        warns: bool = False,
        status: int = 200,
        headers: dict[str, str] | None = None,
        handler_before: str | None = None,
    ) -> Response:
        """The job object of the row as it is now."""
        job = detailed(Job.objects.filter(pk=job.pk)).get()
        body = dict(self.get_serializer(job).data)
        if warns:
            body["warnings"] = warn_of(job, now=clock.now(), handler_before=handler_before)
        return Response(body, status=status, headers=headers)


def move(job: Job, state: JobState, *, by: Actor) -> None:
    """Bring a job into this state by the verbs that lead there; raises Refused where none does."""
    present = Job.objects.values_list("state", flat=True).get(pk=job.pk)
    if state == present:
        return
    if state == JobState.DELETED:
        operations.delete(job, by=by)
    elif state == JobState.ACTIVE:
        operations.resume(job, by=by)
    elif state == JobState.INACTIVE:
        operations.deactivate(job, by=by)
    else:
        if present == JobState.INACTIVE:
            operations.resume(job, by=by)
        operations.pause(job, by=by)


def _read_tags(names: list[str]) -> list[str]:
    try:
        return definitions.read_tags(names)
    except ValueError as error:
        raise Invalid({"tags": str(error)}) from None
