"""The list of jobs and the page of one job."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Upper
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from executions import metrics, operations, recent
from executions.engine import clock
from jobs import definitions, manifest, schedules, secrets, timing
from jobs.admin import filters, pages, verbs
from jobs.admin.forms import WHEN, JobForm, preview, zones
from jobs.audit import actor_of
from jobs.models import Job, JobState, ScheduleType
from web.admin import shown
from web.admin.drawings import Bar, draw_sparkline
from web.admin.fields import MomentField, MomentWidget
from web.admin.lists import CAP, ListAdmin, RowList
from web.admin.verbs import Verb, VerbsMixin, explain
from web.errors import Refusal
from web.moments import parse_moment
from web.redaction import masked

WORD = "web/admin/preview.html"


class JobList(RowList):
    """A page of jobs with their latest runs, their calendars and whether they differ from their file."""

    def prepare(self, rows: list[Any]) -> None:
        runs = recent.find_recent([job.pk for job in rows])
        calendars = schedules.days_of({job.calendar_id for job in rows if job.calendar_id})
        drifted = set(manifest.find_drifted(Job.objects.filter(pk__in=[job.pk for job in rows])))
        now = clock.now()
        for job in rows:
            job.runs, job.now, job.calendars = runs.get(job.pk, recent.Runs(runs=[])), now, calendars
            job.is_drifted = job.pk in drifted

    def count_kept(self) -> int | None:
        given = self.given_filters()
        state = given.pop("state", None)
        counts = {} if given else metrics.count_jobs()
        return counts.get(state, 0) if state else sum(counts.values()) or None


@admin.register(Job)
class JobAdmin(VerbsMixin, ListAdmin):
    """Jobs: what runs, when, and how it went."""

    form = JobForm
    verbs = verbs.VERBS
    list_display = ["job", "condition", "schedule", "next_run", "last_outcome", "trend", "tools"]
    list_display_links = None
    list_filter = [
        filters.StateFilter,
        filters.OutcomeFilter,
        filters.KindFilter,
        filters.TagFilter,
        filters.HandlerFilter,
        filters.QueueFilter,
        filters.OwnerFilter,
        filters.DueFilter,
        filters.FileFilter,
        filters.FiresFilter,
    ]
    search_fields = ["name"]
    search_help_text = "Part of a name or description, an id or a number"
    ordering = ["name", "id"]
    radio_fields = {"execution_type": admin.HORIZONTAL}
    formfield_overrides = {models.DateTimeField: {"form_class": MomentField, "widget": MomentWidget}}

    class Media:
        js = ["web/admin/job_form.js"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("user").prefetch_related("tags")

    def get_ordering(self, request: HttpRequest) -> Any:
        """By name, and the newest first where there are too many to be put in order for every look."""
        return ("-id",) if Job.objects.order_by()[CAP : CAP + 1].exists() else self.ordering

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return JobList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        wanted = Q(name__icontains=term) | Q(description__icontains=term)
        if term.isdecimal() and len(term) < 19:
            wanted |= Q(id=int(term))
        if (key := pages.read_uuid(term)) is not None:
            wanted |= Q(uuid=key)
        return queryset.filter(wanted), False

    # The list ------------------------------------------------------------------------------------

    @admin.display(description="job", ordering=Upper("name"))
    def job(self, job: Any) -> SafeString:
        address = reverse("admin:jobs_job_change", args=(job.pk,))
        tags = format_html_join(
            "",
            ' <a class="tag" href="?tag={}"><bdi>{}</bdi></a>',
            ((pages.quote(tag.name), tag.name[:30]) for tag in job.tags.all()),
        )
        about = definitions.resolve_handler(job)
        drift = (
            format_html("<br>{}", shown.badge("drifted", "differs from its file")) if job.is_drifted else ""
        )
        return format_html(
            '{}<br><small class="quiet">{}</small>{}{}',
            shown.link(address, shown.name(job.name)),
            about,
            tags,
            drift,
        )

    @admin.display(description="state", ordering="state")
    def condition(self, job: Any) -> SafeString:
        if job.state != JobState.PAUSED:
            return shown.badge(job.state)
        until = format_html(" until {}", shown.moment(job.paused_until, job.zone)) if job.paused_until else ""
        why = shown.name(job.paused_reason, 60) if job.paused_reason else ""
        return format_html("{}<br><small>{}{}</small>", shown.badge(job.state), why, until)

    @admin.display(description="schedule")
    def schedule(self, job: Any) -> SafeString:
        raw = job.cron_expression or job.recurrence_pattern or "once"
        try:
            words = timing.describe(schedules.read(job, job.calendars))
        except ValueError as error:
            return format_html(
                "{}<br><small>{}</small>",
                shown.badge("failed", "cannot be read"),
                shown.name(str(error), 120),
            )
        return format_html(
            '<span class="words">{}</span><br><code>{}</code>', shown.name(words, 110), shown.name(raw, 60)
        )

    @admin.display(description="next run", ordering=F("next_run_at").asc(nulls_last=True))
    def next_run(self, job: Any) -> SafeString | str:
        if job.schedule_error:
            return format_html(
                "{}<br><small>{}</small>",
                shown.badge("failed", "not planned"),
                shown.name(job.schedule_error, 120),
            )
        if job.state != JobState.ACTIVE or job.next_run_at is None:
            return shown.NOTHING
        return shown.when(job.next_run_at, job.now, job.zone)

    @admin.display(description="last outcome", ordering="-consecutive_failures")
    def last_outcome(self, job: Any) -> SafeString | str:
        run = job.runs.last
        if run is None:
            return shown.NOTHING
        address = reverse("admin:executions_execution_change", args=(run.id,))
        in_a_row = ""
        if job.consecutive_failures > 1:
            in_a_row = format_html("<br><small>{} in a row</small>", job.consecutive_failures)
        return format_html(
            "{}<br><small>{}</small>{}",
            shown.link(address, shown.badge(run.status)),
            shown.relative(run.scheduled_at, job.now),
            in_a_row,
        )

    @admin.display(description="last 20 runs")
    def trend(self, job: Any) -> SafeString:
        bars = [
            Bar(
                status=run.status,
                value=run.duration_ms,
                title=f"{run.scheduled_at:%Y-%m-%d %H:%M:%S} UTC: {run.status.lower()}"
                + (f" ({run.reason})" if run.reason else "")
                + (f", {shown.duration(run.duration_ms)}" if run.duration_ms is not None else ""),
            )
            for run in reversed(job.runs.runs)
        ]
        if not bars:
            return draw_sparkline([])
        address = reverse("admin:jobs_job_timeline", args=(job.pk,))
        drawn = shown.link(address, draw_sparkline(bars), **{"class": "quiet-link"})
        ended = len(job.runs.ended)
        if not ended:
            return drawn
        rate = round(100 * job.runs.successes / ended)
        return format_html('{}<br><small class="quiet">{} % of {} fine</small>', drawn, rate, ended)

    @admin.display(description="")
    def tools(self, job: Any) -> SafeString | str:
        return self.row_buttons(job.request, job, "run", "pause", "resume")

    # One job -------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("preview/", view(require_POST(self.preview_view)), name="jobs_job_preview"),
            path("<int:key>/timeline/", view(self.timeline_view), name="jobs_job_timeline"),
            path("<int:key>/audit/", view(self.audit_view), name="jobs_job_audit"),
            path("<int:key>/versions/", view(self.versions_view), name="jobs_job_versions"),
            path("<int:key>/rollback/", view(require_POST(self.rollback_view)), name="jobs_job_rollback"),
            path("<int:key>/explain/", view(self.explain_view), name="jobs_job_explain"),
            *super().get_urls(),
        ]

    def make_form(self, verb: Verb, request: HttpRequest, *, row: Any = None, data: Any = None) -> Any:
        if verb.name == "run" and row is not None and data is None:
            return verb.form(initial={"payload": masked(row.payload)})
        return super().make_form(verb, request, row=row, data=data)

    def get_fieldsets(self, request: HttpRequest, obj: Job | None = None) -> Any:
        return pages.sections(obj, may_change=self._may_edit(request, obj))

    def get_fields(self, request: HttpRequest, obj: Job | None = None) -> Any:
        return [name for _, options in self.get_fieldsets(request, obj) for name in options["fields"]]

    def _may_edit(self, request: HttpRequest, obj: Job | None) -> bool:
        return self.has_add_permission(request) if obj is None else self.has_change_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        gone = obj is not None and obj.state == JobState.DELETED
        return super().has_change_permission(request, obj) and not gone

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Deleting is a verb of ours, which keeps the history.
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Job | None = None) -> Any:
        if not self._may_edit(request, obj):
            return self.get_fields(request, obj)
        # A version that nobody looked at is no version to check against.
        return ["kind_shown"] if obj else []

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        form = super().get_form(request, obj, change=change, **options)
        return type("JobForm", (form,), {"owner_id": request.user.pk})

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"schedule_type": "cron", **super().get_changeform_initial_data(request)}

    @admin.display(description="kind")
    def kind_shown(self, job: Job) -> str:
        return str(ScheduleType(job.schedule_type).label)

    @admin.display(description="headers")
    def headers_shown(self, job: Job) -> SafeString | str:
        return shown.code(secrets.masked(job.headers) if isinstance(job.headers, dict) else {})

    @admin.display(description="payload")
    def payload_shown(self, job: Job) -> SafeString | str:
        return shown.code(job.payload)

    @admin.display(description="metadata")
    def metadata_shown(self, job: Job) -> SafeString | str:
        return shown.code(job.metadata)

    @admin.display(description="retry policy")
    def retries_shown(self, job: Job) -> SafeString | str:
        return shown.code(job.retry_policy)

    @admin.display(description="URL")
    def url_shown(self, job: Job) -> SafeString | str:
        return shown.outside_link(job.api_endpoint)

    @admin.display(description="tags")
    def tags_shown(self, job: Job) -> str:
        return ", ".join(sorted(tag.name for tag in job.tags.all())) or shown.NOTHING

    @admin.display(description="waits for")
    def bonds_shown(self, job: Job) -> SafeString | str:
        bonds = job.dependencies.select_related("depends_on")
        links = (
            (reverse("admin:jobs_job_change", args=(bond.depends_on_id,)), shown.name(bond.depends_on.name))
            for bond in bonds
        )
        return format_html_join(", ", '<a href="{}">{}</a>', links) or shown.NOTHING

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = {
            "zones": zones(),
            "preview_url": reverse("admin:jobs_job_preview"),
            **(extra_context or {}),
        }
        if object_id is not None:
            job = self.get_object(request, unquote(object_id))
            if job is not None:
                context |= self._job_context(request, job, "definition")
                context["drift"] = pages.drift(job, clock.now())
                if request.method == "GET" and job.state != JobState.DELETED:
                    context["preview_html"] = self._preview_html(_when_of(job), clock.now(), job)
        try:
            return super().changeform_view(request, object_id, form_url, context)
        except Refusal as refusal:
            messages.error(request, explain(refusal))
            return HttpResponseRedirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """The verbs save: the check of the form, a version and the audit belong together."""
        actor = actor_of(request.user)
        if change:
            before = pages.next_runs(obj)
            saved = operations.update(
                obj, form.columns, by=actor, tags=form.tag_names, depends_on=form.others
            )
            _tell_new_runs(request, before, pages.next_runs(saved))
        else:
            saved = operations.create(
                Job(origin="admin", **form.columns),
                by=actor,
                tags=form.tag_names or (),
                depends_on=form.others or (),
            )
        obj.__dict__.update(saved.__dict__)
        for text in pages.warnings_of(saved):
            messages.warning(request, text)

    # Pages of one job ----------------------------------------------------------------------------

    def _find(self, request: HttpRequest, key: int) -> Job:
        if not self.has_view_permission(request):
            raise PermissionDenied
        job: Job | None = self.get_queryset(request).filter(pk=key).first()
        if job is None:
            raise Http404
        return job

    def _job_context(self, request: HttpRequest, job: Job, tab: str) -> dict[str, Any]:
        return {
            "job": job,
            "job_name": shown.name(job.name, 120),
            "tab": tab,
            "tabs": pages.tabs(job),
            "state": shown.badge(job.state),
            "summary": pages.summarize(job, clock.now()),
            "job_buttons": self.buttons(request, job),
        }

    def _page(self, request: HttpRequest, job: Job, tab: str, template: str, **more: Any) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            **self._job_context(request, job, tab),
            "opts": self.opts,
            "title": tab.capitalize(),
            "original": job,
            **more,
        }
        return TemplateResponse(request, f"admin/jobs/job/{template}.html", context)

    def timeline_view(self, request: HttpRequest, key: int) -> HttpResponse:
        """The latest runs as bars over time."""
        job = self._find(request, key)
        return self._page(request, job, "timeline", "timeline", **pages.timeline(job, clock.now()))

    def audit_view(self, request: HttpRequest, key: int) -> HttpResponse:
        """Who did what to the job."""
        job = self._find(request, key)
        return self._page(request, job, "audit", "audit", **pages.audit(job, request.GET.get("p", "1")))

    def versions_view(self, request: HttpRequest, key: int) -> HttpResponse:
        """What the job was."""
        job = self._find(request, key)
        may = self.has_change_permission(request, job)
        return self._page(request, job, "versions", "versions", may_change=may, **pages.history(job))

    def rollback_view(self, request: HttpRequest, key: int) -> HttpResponse:
        """Take an earlier definition again."""
        job = self._find(request, key)
        if not self.has_change_permission(request, job):
            raise PermissionDenied
        text = request.POST.get("version", "")
        number = int(text) if text.isdecimal() and len(text) < 10 else 0
        try:
            pages.check_version(job, number)
            operations.rollback(job, number, by=actor_of(request.user))
            messages.success(request, f"Version {number} is in force again, as a new version.")
        except Refusal as refusal:
            messages.error(request, explain(refusal))
        return HttpResponseRedirect(reverse("admin:jobs_job_versions", args=(key,)))

    def explain_view(self, request: HttpRequest, key: int) -> HttpResponse:
        """Why it did, or did not, run on a day."""
        job = self._find(request, key)
        more = pages.explain_day(job, request.GET.get("day", ""), clock.now())
        return self._page(request, job, "explain", "explain", **more)

    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """What the schedule of a form means that is being typed."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        text = request.POST.get("job", "")
        job = Job.objects.filter(pk=int(text)).first() if text.isdecimal() and len(text) < 19 else None
        html = self._preview_html(_read_when(request), clock.now(), job)
        return JsonResponse({"html": html})

    def _preview_html(self, values: dict[str, Any], now: datetime, job: Job | None) -> str:
        found = preview(values, now, job=job)
        found["problems"] = found.get("problems", {}).values()
        found["rows"] = [
            {
                "local": one.local.strftime("%a %Y-%m-%d %H:%M:%S %z"),
                "utc": shown.moment(one.at),
                "relative": shown.relative(one.at, now),
                "note": one.note,
            }
            for one in found.get("runs", [])
        ]
        return render_to_string(WORD, found)


def _when_of(job: Job) -> dict[str, Any]:
    values = {name: getattr(job, name) for name in WHEN}
    return values | {"calendar": job.calendar_id, "business_day_shift": job.business_day_shift}


def _read_when(request: HttpRequest) -> dict[str, Any]:
    """The schedule fields as they stand in a form; half-typed times count as none."""
    values: dict[str, Any] = {name: request.POST.get(name, "").replace("\0", "") for name in WHEN}
    for name in ("scheduled_at", "start_at", "end_at"):
        day, at = request.POST.get(f"{name}_0", ""), request.POST.get(f"{name}_1", "") or "00:00:00"
        try:
            values[name] = parse_moment(f"{day}T{at}")
        except ValueError:
            values[name] = None
    values["calendar"] = request.POST.get("calendar", "")
    values["business_day_shift"] = request.POST.get("business_day_shift", "none")
    return values


def _tell_new_runs(request: HttpRequest, before: list[Any], after: list[Any]) -> None:
    """Old and new next runs side by side, where they differ."""
    if before == after:
        return
    longest = max(len(before), len(after))
    cells = (
        (
            shown.moment(before[place]) if place < len(before) else shown.NOTHING,
            shown.moment(after[place]) if place < len(after) else shown.NOTHING,
        )
        for place in range(longest)
    )
    rows = format_html_join("", "<tr><td>{}</td><td>{}</td></tr>", cells)
    messages.info(
        request,
        format_html(
            'The next runs changed.<table class="side-by-side"><thead><tr><th scope="col">Before</th>'
            '<th scope="col">Now</th></tr></thead><tbody>{}</tbody></table>',
            rows,
        ),
    )
