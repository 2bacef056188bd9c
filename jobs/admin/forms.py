"""The form of a job: its rules are those of `jobs.definitions`."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from django import forms
from django.conf import settings

from executions.operations.definition import reaches
from jobs import definitions, policies, schedules, secrets, timing
from jobs.models import Dependency, Job, ScheduleType
from web.admin.fields import ObjectField

# Form fields that are columns of the same name.
COLUMNS = (
    "name",
    "description",
    "schedule_type",
    "execution_type",
    "cron_expression",
    "recurrence_pattern",
    "timezone",
    "scheduled_at",
    "start_at",
    "end_at",
    "business_day_shift",
    "handler",
    "api_endpoint",
    "method",
    "headers",
    "payload",
    "metadata",
    "timeout_ms",
    "follow_redirects",
    "max_concurrent_executions",
    "rate_limit_per_minute",
    "priority",
    "queue",
    "catch_up",
    "misfire_grace_seconds",
    "overlap_policy",
    "jitter_seconds",
    "dependency_mode",
    "dependency_wait_seconds",
)
WHEN = (
    "schedule_type",
    "cron_expression",
    "recurrence_pattern",
    "timezone",
    "scheduled_at",
    "start_at",
    "end_at",
)
# What only one kind of job has.
OF_KIND = {
    "cron_expression": (ScheduleType.CRON,),
    "recurrence_pattern": (ScheduleType.RECURRING,),
    "scheduled_at": (ScheduleType.ONE_TIME, ScheduleType.RECURRING),
}
HAVE_DEFAULTS = ("business_day_shift", "catch_up", "method", "overlap_policy", "dependency_mode", "queue")
EMPTY_IS_NULL = (
    "description",
    "cron_expression",
    "recurrence_pattern",
    "timezone",
    "handler",
    "api_endpoint",
)


def text(size: str = "vTextField", **attributes: Any) -> forms.TextInput:
    """A one-line input in one of the admin's widths."""
    return forms.TextInput(attrs={"class": size, **attributes})


class JobForm(forms.ModelForm):  # type: ignore[type-arg]
    """A job as a person edits it; `columns`, `tag_names` and `others` are what shall be saved."""

    owner_id: Any = None  # of a new one

    handler = forms.ChoiceField(
        required=False, help_text="Empty: http where there is a URL, else the handler of the job's name."
    )
    timezone = forms.CharField(
        required=False,
        widget=text(list="zones", autocomplete="off"),
        help_text=f"An IANA name, such as Europe/Berlin. Empty: {settings.SCHEDULER_TIMEZONE}.",
    )
    headers = ObjectField(
        when_empty={},
        help_text="A JSON object. Values under secret names are stored encrypted; *** keeps the stored one.",
    )
    payload = ObjectField(when_empty={}, help_text="A JSON object, at most 64 KiB.")
    metadata = ObjectField(help_text="A JSON object for your own use; it travels with the call.")
    retry_policy = ObjectField(
        help_text='Such as {"maxRetries": 3, "backoffStrategy": "EXPONENTIAL", "initialDelayMs": 1000}. '
        "Empty: cron jobs are not retried, others by the settings."
    )
    tags = forms.CharField(required=False, widget=text(), help_text="Names, separated by commas.")
    depends_on = forms.CharField(
        required=False,
        label="Waits for",
        widget=forms.Textarea(attrs={"rows": 2, "class": "vLargeTextField"}),
        help_text="Ids or names of jobs of the same owner, one per line.",
    )
    seen_version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = Job
        fields = [*COLUMNS, "calendar"]
        widgets = {
            "name": text(),
            "description": forms.Textarea(attrs={"rows": 2, "class": "vLargeTextField"}),
            "cron_expression": text(spellcheck="false", autocomplete="off"),
            "api_endpoint": text(spellcheck="false", placeholder="https://"),
            "queue": text("vTextField short"),
        }
        labels = {
            "schedule_type": "Kind",
            "execution_type": "When a worker is lost",
            "cron_expression": "Cron expression",
            "api_endpoint": "URL",
            "scheduled_at": "Time",
            "timeout_ms": "Time-out (ms)",
            "max_concurrent_executions": "Runs at once",
            "rate_limit_per_minute": "Starts per minute",
            "misfire_grace_seconds": "Grace (s)",
            "jitter_seconds": "Jitter (s)",
            "dependency_wait_seconds": "Wait at most (s)",
            "catch_up": "Late fire times",
            "overlap_policy": "While one runs",
            "start_at": "Not before",
            "end_at": "Not after",
        }
        help_texts = {
            "cron_expression": "minute hour day month weekday, or with seconds in front: 0 36 17 * * *",
            "scheduled_at": "UTC. One-time: when it runs. Recurring: the first fire time, from which the "
            "others are counted. Empty: now.",
            "start_at": "UTC",
            "end_at": "UTC",
            "execution_type": "At least once: it is called again. At most once: it fails.",
            "catch_up": "Later than the grace: none run, only the latest, or all.",
            "overlap_policy": "What a fire time does while older runs are unfinished.",
            "priority": "0 to 9; 9 goes first.",
            "timeout_ms": "Empty: 30000 for http, 900000 else.",
            "rate_limit_per_minute": "Empty: no limit.",
            "jitter_seconds": "A delay that is stable per fire time, so that jobs do not all start together.",
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.columns: dict[str, Any] = {}
        self.tag_names: list[str] | None = None
        self.others: list[Job] | None = None
        job = self.instance if self.instance.pk else None
        names = definitions.list_usable(staff=True)
        if job and job.handler and job.handler not in names:
            names.append(job.handler)
        self._offer("handler", [("", "(by URL or name)"), *((one, one) for one in names)])
        if "recurrence_pattern" in self.fields:
            self.fields["recurrence_pattern"].required = False
        for name in (
            "business_day_shift",
            "catch_up",
            "method",
            "overlap_policy",
            "dependency_mode",
            "queue",
        ):
            if name in self.fields:
                self.fields[name].required = False
        if job:
            self._fill(job)

    def _offer(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields.get(name)
        if isinstance(field, forms.ChoiceField):
            field.choices = choices

    def _fill(self, job: Job) -> None:
        self.initial["headers"] = secrets.masked(job.headers) if isinstance(job.headers, dict) else {}
        self.initial["retry_policy"] = job.retry_policy and {
            name: value for name, value in job.retry_policy.items() if name != policies.SHORTHAND
        }
        self.initial["tags"] = ", ".join(sorted(tag.name for tag in job.tags.all()))
        bonds = job.dependencies.select_related("depends_on").order_by("created_at", "id")
        self.initial["depends_on"] = "\n".join(str(bond.depends_on.uuid) for bond in bonds)
        self.initial["seen_version"] = job.version

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        job = Job.objects.filter(pk=self.instance.pk).first() if self.instance.pk else None
        self._check_version(job, data)
        values = self._values(data, job)
        problems = dict(self._read_bonds(data, job))
        columns, more = definitions.complete(values, job)
        problems |= more
        if job is None:
            problems |= definitions.check(Job(**columns), staff=True)
        else:
            problems |= definitions.check_change(job, columns, staff=True)
        self._blame(problems)
        self.columns = columns
        return data

    def _check_version(self, job: Job | None, data: dict[str, Any]) -> None:
        seen = data.get("seen_version")
        if job is not None and seen is not None and seen != job.version:
            raise forms.ValidationError(
                f"Somebody changed this job meanwhile (version {seen} is now {job.version}). Load the page "
                "again and repeat your change."
            )

    def _values(self, data: dict[str, Any], job: Job | None) -> dict[str, Any]:
        """The columns that the form names, as the model holds them; what did not arrive is left out."""
        kind = job.schedule_type if job else data.get("schedule_type") or ScheduleType.CRON
        values: dict[str, Any] = {
            name: (data[name] or None) if name in EMPTY_IS_NULL else data[name]
            for name in (*COLUMNS, "retry_policy")
            if name in data and name in self.fields and kind in OF_KIND.get(name, (kind,))
        }
        for name in HAVE_DEFAULTS:
            if not values.get(name, "given"):
                values.pop(name)
        if "calendar" in data:
            values["calendar_id"] = data["calendar"].pk if data["calendar"] else None
        if job is not None:
            self._keep(values, job)
            return values
        values["schedule_type"] = kind
        if values.get("overlap_policy") == "allow" and values.get("max_concurrent_executions") == 1:
            values.pop("max_concurrent_executions")  # its default follows the policy
        return values

    def _keep(self, values: dict[str, Any], job: Job) -> None:
        """Leave out what a change of this job does not mean."""
        values.pop("schedule_type", None)
        if job.schedule_type != ScheduleType.CRON and values.get("scheduled_at") is None:
            values.pop("scheduled_at", None)
        if job.retry_policy and policies.as_given(job.retry_policy) is None:
            self._keep_shorthand(values, job)

    def _keep_shorthand(self, values: dict[str, Any], job: Job) -> None:
        stored = job.retry_policy or {}
        shown = {name: value for name, value in stored.items() if name != policies.SHORTHAND}
        if values.get("retry_policy") == shown:
            values.pop("retry_policy")

    def _read_bonds(self, data: dict[str, Any], job: Job | None) -> dict[str, str]:
        problems: dict[str, str] = {}
        try:
            if "tags" in self.fields:
                names = [part for part in data.get("tags", "").split(",") if part.strip()]
                self.tag_names = definitions.read_tags(names)
        except ValueError as error:
            problems["tags"] = str(error)
        try:
            if "depends_on" in self.fields:
                self.others = find_jobs(data.get("depends_on", ""), self._owner(job), job)
        except ValueError as error:
            problems["depends_on"] = str(error)
        return problems

    def _owner(self, job: Job | None) -> Any:
        return job.user_id if job else self.owner_id

    def _blame(self, problems: dict[str, str]) -> None:
        for column, message in problems.items():
            root, dot, rest = column.partition(".")
            field = {"calendar_id": "calendar", "max_retries": "retry_policy"}.get(root, root)
            words = f"{rest}: {message}" if dot else message
            if field in self.errors:
                continue
            self.add_error(field if field in self.fields else None, words)

    def _post_clean(self) -> None:
        """The instance stays as the database has it: the verbs decide what changes."""


def find_jobs(lines: str, owner_id: Any, job: Job | None) -> list[Job]:
    """The jobs that the lines name by id or by a name that only one has; raises ValueError."""
    ids: list[UUID] = []
    for line in filter(None, (line.strip() for line in lines.splitlines())):
        try:
            ids.append(UUID(line))
        except ValueError:
            named = list(
                Job.objects.present().filter(name=line, user_id=owner_id).values_list("uuid", flat=True)[:2]
            )
            if len(named) != 1:
                raise ValueError(
                    f"{'No job has' if not named else 'Several jobs have'} the name {line}"
                ) from None
            ids += named
    found = definitions.find_dependencies(ids, owner_id=owner_id, job=job)
    if job is not None:
        for other in found:
            if other.pk == job.pk:
                raise ValueError("A job cannot wait for itself")
            if not Dependency.objects.filter(job=job, depends_on=other).exists() and reaches(
                other.pk, job.pk
            ):
                raise ValueError(f"{other.name} waits for this job already: a circle")
    return found


def preview(
    values: dict[str, Any], now: datetime, *, job: Job | None = None, count: int = 10
) -> dict[str, Any]:
    """What the schedule of a form that is still being typed means: words, warnings, fire times, or errors."""
    kind = job.schedule_type if job else values.get("schedule_type") or ScheduleType.CRON
    columns = {name: values.get(name) or None for name in WHEN if kind in OF_KIND.get(name, (kind,))}
    columns["schedule_type"] = kind
    columns["calendar_id"] = values.get("calendar") or None
    columns["business_day_shift"] = values.get("business_day_shift") or "none"
    typed = Job(name="preview", **columns)
    if kind != ScheduleType.CRON and typed.scheduled_at is None:
        typed.scheduled_at = job.scheduled_at if job else now
    problems: dict[str, str] = {}
    definitions.check_schedule(typed, problems)
    if problems:
        return {"problems": problems}
    schedule = schedules.read(typed)
    return {
        "description": timing.describe(schedule),
        "warnings": timing.warnings(schedule, after=now),
        "runs": timing.preview(schedule, now, count),
        "zone": typed.zone,
    }


def zones() -> list[str]:
    """The names that the time zone field offers."""
    return sorted(name for name in available_timezones() if "/" in name and not name.startswith("Etc/"))
