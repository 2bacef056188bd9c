"""What can be done to jobs from their list and their page; `executions.operations` does it."""

from __future__ import annotations

import copy
import uuid
from typing import Any

from django import forms
from django.urls import reverse

from executions import operations
from jobs import definitions
from jobs.audit import actor_of
from jobs.models import CatchUp, Job, JobState, Origin
from jobs.versions import DEFINITION
from web.admin.fields import MomentField, ObjectField, unmask
from web.admin.verbs import Verb
from web.errors import Invalid

OPERATE = "jobs.operate_job"
CHANGE = "jobs.change_job"


class PauseForm(forms.Form):
    """Why, and how long."""

    reason = forms.CharField(
        required=False,
        max_length=500,
        help_text="Everybody sees it in the list.",
        widget=forms.TextInput(attrs={"class": "vTextField"}),
    )
    until = MomentField(help_text="UTC. The job resumes by itself then; empty: somebody resumes it.")


class ResumeForm(forms.Form):
    """What becomes of the time off."""

    catch_up = forms.ChoiceField(
        label="Time off",
        required=False,
        initial=CatchUp.NONE,
        choices=[
            ("none", "skip it: the missed fire times become one SKIPPED row"),
            ("latest", "run the newest missed fire time"),
            ("all", "run every missed fire time"),
        ],
        widget=forms.RadioSelect,
    )


class RunForm(forms.Form):
    """What stands in for the job's payload, this once."""

    payload = ObjectField(
        label="Payload, this once",
        rows=8,
        help_text="A JSON object; *** keeps a stored secret. Empty: the job's own payload.",
    )


class TagForm(forms.Form):
    """Which tags to add and to take away."""

    add = forms.CharField(
        required=False,
        label="Add",
        help_text="Names, separated by commas; made where they are missing.",
        widget=forms.TextInput(attrs={"class": "vTextField"}),
    )
    remove = forms.CharField(
        required=False, label="Take away", widget=forms.TextInput(attrs={"class": "vTextField"})
    )

    def clean(self) -> dict[str, Any]:
        for name in ("add", "remove"):
            try:
                self.cleaned_data[name] = read_names(self.cleaned_data.get(name, ""))
            except ValueError as error:
                self.add_error(name, str(error))
        if not self.errors and not (self.cleaned_data["add"] or self.cleaned_data["remove"]):
            raise forms.ValidationError("Name at least one tag.")
        return self.cleaned_data


class BackfillForm(forms.Form):
    """Which past fire times to run."""

    start = MomentField(label="From", required=True, help_text="UTC")
    end = MomentField(label="To", required=True, help_text="UTC, at most now")
    reprocess = forms.ChoiceField(
        choices=[
            ("none", "only those that never ran"),
            ("failed", "also those that failed"),
            ("all", "all of them"),
        ],
        widget=forms.RadioSelect,
        initial="none",
    )
    max_concurrent = forms.IntegerField(label="At once", min_value=1, max_value=100, initial=1)


class RescheduleForm(forms.Form):
    """The new time."""

    at = MomentField(label="New time", required=True, help_text="UTC")


def read_names(text: str) -> list[str]:
    """Tag names separated by commas; raises ValueError with the reason."""
    return definitions.read_tags([part for part in text.split(",") if part.strip()])


def _pause(job: Job, values: dict[str, Any], user: Any) -> None:
    operations.pause(
        job, by=actor_of(user), reason=values.get("reason") or "", until=values.get("until") or None
    )


def _resume(job: Job, values: dict[str, Any], user: Any) -> None:
    operations.resume(job, by=actor_of(user), catch_up=values.get("catch_up") or "none")


def _run(job: Job, values: dict[str, Any], user: Any) -> str:
    payload = unmask(values.get("payload"), job.payload)
    if payload is not None:
        problems = definitions.check_override(job, payload, staff=True)
        if problems:
            raise Invalid({name.partition(".")[0]: f"{name}: {text}" for name, text in problems.items()})
    key = operations.trigger(job, by=actor_of(user), payload=payload)
    return reverse("admin:executions_execution_change", args=(key,))


def _run_one_of_many(job: Job, values: dict[str, Any], user: Any) -> None:
    _run(job, values, user)


def _cancel(job: Job, values: dict[str, Any], user: Any) -> None:
    operations.cancel(job, by=actor_of(user))


def _tag(job: Job, values: dict[str, Any], user: Any) -> None:
    names = {tag.name for tag in job.tags.all()}
    wanted = (names | set(values["add"])) - set(values["remove"])
    try:
        definitions.read_tags(wanted)
    except ValueError as error:
        raise Invalid({"add": str(error)}) from None
    operations.update(job, {}, by=actor_of(user), tags=sorted(wanted))


def _delete(job: Job, values: dict[str, Any], user: Any) -> str:
    operations.delete(job, by=actor_of(user))
    return reverse("admin:jobs_job_changelist")


def _backfill(job: Job, values: dict[str, Any], user: Any) -> None:
    operations.backfill(
        job,
        values["start"],
        values["end"],
        by=actor_of(user),
        reprocess=values["reprocess"],
        max_concurrent=values["max_concurrent"],
    )


def _reschedule(job: Job, values: dict[str, Any], user: Any) -> None:
    operations.reschedule(job, values["at"], by=actor_of(user))


def _duplicate(job: Job, values: dict[str, Any], user: Any) -> str:
    copied = copy_of(job)
    problems = definitions.check(copied, staff=True)
    if problems:
        raise Invalid(problems)
    bonds = [bond.depends_on for bond in job.dependencies.select_related("depends_on")]
    operations.create(copied, by=actor_of(user), tags=[tag.name for tag in job.tags.all()], depends_on=bonds)
    return reverse("admin:jobs_job_change", args=(copied.pk,))


def copy_of(job: Job) -> Job:
    """An unsaved, inactive copy of the job, of the same owner."""
    columns = {name: copy.deepcopy(getattr(job, name)) for name in DEFINITION}
    columns["name"] = f"{job.name[: definitions.MAX_NAME - 7]} (copy)"
    # The handler may have been found by the name, which the copy does not share.
    columns["handler"] = job.handler or _named_handler(job)
    return Job(
        uuid=uuid.uuid4(), origin=Origin.ADMIN, user_id=job.user_id, state=JobState.INACTIVE, **columns
    )


def _named_handler(job: Job) -> str | None:
    handler = definitions.resolve_handler(job)
    return handler if handler == job.name and not job.api_endpoint and handler != "default" else None


def _is(*states: str) -> Any:
    return lambda job: job.state in states


RUN = Verb(
    name="run",
    label="Run now",
    done="a run was added",
    right=OPERATE,
    says="Each of these jobs gets one more run, at once, besides its schedule. Its limits hold: where as "
    "many run as may, it waits.",
    run=_run,
    form=RunForm,
    applies=_is(JobState.ACTIVE),
    bulk=False,
)
RUN_MANY = Verb(
    name="run_many",
    label="Run now",
    done="one more run each",
    right=OPERATE,
    says=RUN.says,
    run=_run_one_of_many,
    form=RunForm,
    single=False,
)
PAUSE = Verb(
    name="pause",
    label="Pause",
    done="paused",
    right=OPERATE,
    says="Nothing new starts: what waits goes on waiting, what runs finishes. Fire times of the pause do not "
    "run until somebody resumes the job and says what becomes of them.",
    run=_pause,
    form=PauseForm,
    applies=_is(JobState.ACTIVE),
)
RESUME = Verb(
    name="resume",
    label="Resume",
    done="active again",
    right=OPERATE,
    says="The schedule goes on from now. Choose what becomes of the fire times of the time off.",
    run=_resume,
    form=ResumeForm,
    applies=_is(JobState.PAUSED, JobState.INACTIVE, JobState.CANCELLED),
)
CANCEL = Verb(
    name="cancel",
    label="Cancel",
    done="cancelled",
    right=OPERATE,
    says="The schedule ends and everything that waits is cancelled; what runs finishes. Resume brings the "
    "job back.",
    run=_cancel,
    applies=_is(JobState.ACTIVE, JobState.PAUSED, JobState.INACTIVE),
    danger=True,
)
RESCHEDULE = Verb(
    name="reschedule",
    label="Reschedule",
    done="has a new time",
    right=OPERATE,
    says="A one-time job gets a new time, a recurring one a new anchor; the next run of a cron job moves "
    "once, and the fire times before it are skipped.",
    run=_reschedule,
    form=RescheduleForm,
    applies=lambda job: job.state != JobState.DELETED,
    bulk=False,
)
BACKFILL = Verb(
    name="backfill",
    label="Backfill",
    done="the past fire times wait to run",
    right=OPERATE,
    says="Runs the fire times of a past range, by the schedule of now, in order; at most 10,000.",
    run=_backfill,
    form=BackfillForm,
    applies=lambda job: job.state != JobState.DELETED,
    bulk=False,
)
TAG = Verb(
    name="tag",
    label="Tag",
    done="tagged",
    right=CHANGE,
    says="Limits of a tag hold for all its jobs together, from their next start on.",
    run=_tag,
    form=TagForm,
    applies=lambda job: job.state != JobState.DELETED,
)
DUPLICATE = Verb(
    name="duplicate",
    label="Duplicate",
    done="duplicated",
    right="jobs.add_job",
    says="Each gets an inactive copy with the same definition, tags and dependencies. Secret headers are "
    "copied too.",
    run=_duplicate,
    applies=lambda job: job.state != JobState.DELETED,
)
DELETE = Verb(
    name="delete",
    label="Delete",
    done="deleted; the history stays",
    right="jobs.delete_job",
    says="This cannot be undone. What waits is cancelled, what runs finishes, and the history of the job "
    "stays readable.",
    run=_delete,
    applies=lambda job: job.state != JobState.DELETED,
    danger=True,
)
VERBS = (RUN, RUN_MANY, PAUSE, RESUME, CANCEL, RESCHEDULE, BACKFILL, TAG, DUPLICATE, DELETE)
