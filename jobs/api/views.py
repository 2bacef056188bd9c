"""Jobs and their verbs."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.idempotency import HEADER, KEY_PATTERN, MAX_LENGTH, idempotent
from executions import operations
from executions.engine import clock
from executions.models import Execution, Status
from jobs import definitions
from jobs.api import bodies, dialect, examples, history
from jobs.api.answers import detailed
from jobs.api.filters import PARAMETERS, filter_jobs
from jobs.api.one import OneJobViewSet
from jobs.api.previews import preview_job
from jobs.api.requests import (
    ActorSerializer,
    BackfillSerializer,
    JobChangesSerializer,
    NewJobSerializer,
    PauseJobSerializer,
    RescheduleSerializer,
    ResumeJobSerializer,
    RollbackSerializer,
    TriggerSerializer,
)
from jobs.api.serializers import (
    BackfilledSerializer,
    JobSerializer,
    PreviewSerializer,
    SavedJobSerializer,
    TriggeredSerializer,
)
from jobs.audit import Actor
from jobs.models import Job, JobState
from web.api.query import QueryReader, moment_parameter
from web.api.routes import link
from web.errors import Invalid, NotFound

OPERATE = "jobs.operate_job"
CHANGE = "jobs.change_job"
ONCE = OpenApiParameter(
    HEADER,
    {"type": "string", "minLength": 1, "maxLength": MAX_LENGTH, "pattern": KEY_PATTERN},
    location=OpenApiParameter.HEADER,
    description="For 24 hours the same key with the same body gets the first answer again",
)


class JobViewSet(OneJobViewSet):
    """Jobs: what should run, when, under which policies."""

    items_key = "jobs"
    rights = {
        "update": CHANGE,
        "partial_update": CHANGE,
        "destroy": "jobs.delete_job",
        "clone": CHANGE,
        "rollback": CHANGE,
        "pause": OPERATE,
        "resume": OPERATE,
        "cancel": OPERATE,
        "reschedule": OPERATE,
        "trigger": OPERATE,
        "backfill": OPERATE,
    }

    @extend_schema(parameters=PARAMETERS, responses=JobSerializer(many=True), examples=examples.JOBS)
    def list(self, request: Request) -> Response:
        """The caller's jobs, newest first; staff see everybody's."""
        with QueryReader(request.query_params) as query:
            jobs = filter_jobs(detailed(self.visible_jobs()), query)
        return self.list_page(jobs)

    @extend_schema(
        parameters=[ONCE],
        request=NewJobSerializer,
        responses={201: SavedJobSerializer},
        examples=examples.NEW_JOBS,
    )
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

    @extend_schema(request=None, responses={200: JobSerializer})
    def destroy(self, request: Request, **address: Any) -> Response:
        """End the job for good: what waits is cancelled, what runs finishes, history stays."""
        job = self.get_object()
        return self.answer_job(operations.delete(job, by=self.actor()))

    @extend_schema(
        operation_id="jobs_pause",
        request=PauseJobSerializer,
        responses=JobSerializer,
        examples=examples.PAUSE,
    )
    def pause(self, request: Request, **address: Any) -> Response:
        """active → paused, with a reason and perhaps an end. 409 from any other state."""
        job, body = self.get_object(), self.read_body(PauseJobSerializer)
        actor = self.actor(body)
        operations.pause(job, by=actor, reason=body.get("reason") or "", until=body.get("until"))
        return self.answer_job(job)

    @extend_schema(
        operation_id="jobs_resume",
        request=ResumeJobSerializer,
        responses=JobSerializer,
        examples=examples.RESUME,
    )
    def resume(self, request: Request, **address: Any) -> Response:
        """paused, inactive, cancelled → active; `catchUp` says what becomes of the time off."""
        job, body = self.get_object(), self.read_body(ResumeJobSerializer)
        operations.resume(job, by=self.actor(body), catch_up=body.get("catch_up", "none"))
        return self.answer_job(job)

    @extend_schema(operation_id="jobs_cancel", request=ActorSerializer, responses=JobSerializer)
    def cancel(self, request: Request, **address: Any) -> Response:
        """active, paused, inactive → cancelled: what waits is cancelled, what runs finishes."""
        job, body = self.get_object(), self.read_body(ActorSerializer)
        operations.cancel(job, by=self.actor(body))
        return self.answer_job(job)

    @extend_schema(
        operation_id="jobs_reschedule",
        request=RescheduleSerializer,
        responses=JobSerializer,
        examples=examples.RESCHEDULE,
    )
    def reschedule(self, request: Request, **address: Any) -> Response:
        """A new time for a one-time job, a new anchor for a recurring one, a new next run for a cron job."""
        job, body = self.get_object(), self.read_body(RescheduleSerializer)
        operations.reschedule(job, body["scheduled_at"], by=self.actor(body))
        return self.answer_job(job)

    @extend_schema(
        operation_id="jobs_trigger",
        parameters=[ONCE],
        request=TriggerSerializer,
        responses=TriggeredSerializer,
        examples=examples.TRIGGER,
    )
    @idempotent
    def trigger(self, request: Request, **address: Any) -> Response:
        """Run the job now, besides its schedule; `payload` stands in for the job's this once."""
        job, body = self.get_object(), self.read_body(TriggerSerializer)
        actor, payload = self.actor(body), body.get("payload")
        if payload is not None:
            self._check_payload(job, payload, actor)
        key = operations.trigger(job, by=actor, payload=payload)
        scheduled_at = Execution.objects.values_list("scheduled_at", flat=True).get(id=key)
        return Response(
            {
                "executionId": str(key),
                "id": str(key),
                "jobId": str(job.uuid),
                # As it was planned: a scheduler that is awake may run it already.
                "status": dialect.say_status(Status.PENDING, job),
                "scheduledAt": scheduled_at,
            }
        )

    @extend_schema(
        operation_id="jobs_backfill",
        parameters=[ONCE],
        request=BackfillSerializer,
        responses=BackfilledSerializer,
        examples=examples.BACKFILL,
    )
    @idempotent
    def backfill(self, request: Request, **address: Any) -> Response:
        """Run the fire times of a past range, by the schedule of now; at most 10,000."""
        job, body = self.get_object(), self.read_body(BackfillSerializer)
        done = operations.backfill(
            job,
            body["from_"],
            body["to"],
            by=self.actor(body),
            reprocess=body["reprocess"],
            max_concurrent=body["max_concurrent"],
            dry_run=body["dry_run"],
        )
        times = done.scheduled_at
        shown = times if len(times) <= 100 else [*times[:50], *times[-50:]]
        return Response({"count": done.count, "scheduledAt": shown})

    @extend_schema(
        operation_id="jobs_clone",
        request=NewJobSerializer,
        responses={201: SavedJobSerializer},
        examples=examples.CLONE,
    )
    def clone(self, request: Request, **address: Any) -> Response:
        """Make a copy with the changes of the body: `<name> (copy)` and inactive unless it says otherwise."""
        job, given, actor = bodies.read_clone(request.data, self.get_object(), user=request.user)
        return self._create(job, given, actor)

    @extend_schema(
        operation_id="jobs_rollback",
        request=RollbackSerializer,
        responses=SavedJobSerializer,
        examples=examples.ROLLBACK,
    )
    def rollback(self, request: Request, **address: Any) -> Response:
        """Take the definition of an earlier version again, as a new one."""
        job, body = self.get_object(), self.read_body(RollbackSerializer)
        actor = self.actor(body)
        history.check_version(job, body["version"], staff=actor.is_staff)
        operations.rollback(job, body["version"], by=actor)
        return self.answer_job(job, warns=True)

    @extend_schema(
        operation_id="jobs_preview",
        parameters=[
            OpenApiParameter("count", {"type": "integer", "minimum": 1, "maximum": 100, "default": 10}),
            moment_parameter("from", "Now where it is absent"),
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

    def _create(self, job: Job, given: bodies.Given, actor: Actor) -> Response:
        job = operations.create(job, by=actor, tags=given.tags or (), depends_on=given.depends_on or ())
        return self.answer_job(job, warns=True, status=201, headers={"Location": link(f"/jobs/{job.uuid}")})

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
        return self.answer_job(job, warns=True, handler_before=before)

    def _lock(self, job: Job) -> Job:
        locked: Job | None = Job.objects.select_for_update(of=("self",)).present().filter(pk=job.pk).first()
        if locked is None:
            raise NotFound(self.noun)
        return locked

    def _check_payload(self, job: Job, payload: dict[str, Any], actor: Actor) -> None:
        problems = definitions.check_override(job, payload, staff=actor.is_staff)
        if problems:
            raise Invalid(dialect.name_problems(problems))


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
