"""Who waits for whom: a list, and a graph in layers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from executions import operations
from executions.operations.definition import reaches
from jobs.audit import actor_of
from jobs.lookup import NotFound, find_job
from jobs.models import Dependency, DependencyOutcome, Job, JobState
from web.admin import shown
from web.admin.lists import ListAdmin
from web.admin.saving import SavedByVerb

MOST = 300
BOX, BOX_HEIGHT, ROW, LAYER = 180, 40, 56, 250


class JobField(forms.CharField):
    """A job by its id, its number or a name that only one has."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            widget=forms.TextInput(attrs={"class": "vTextField"}),
            help_text="An id, a number or a name.",
            **options,
        )

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        try:
            return find_job(text)
        except NotFound as error:
            raise forms.ValidationError(str(error)) from None


class DependencyForm(forms.ModelForm):  # type: ignore[type-arg]
    """A new bond between two jobs of one owner."""

    job = JobField(label="This job")
    depends_on = JobField(label="waits for")
    outcome = forms.ChoiceField(choices=DependencyOutcome.choices, initial="SUCCESS", label="to end with")
    within_seconds = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=31_536_000,
        help_text="Empty: since its own previous fire time.",
    )

    class Meta:
        model = Dependency
        fields: list[str] = []

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        job, other = data.get("job"), data.get("depends_on")
        if not (job and other):
            return data
        if job.pk == other.pk:
            self.add_error("depends_on", "A job cannot wait for itself.")
        elif job.user_id != other.user_id:
            self.add_error("depends_on", "Both jobs must have the same owner.")
        elif Dependency.objects.filter(job=job, depends_on=other).exists():
            self.add_error("depends_on", "It waits for that job already.")
        elif reaches(other.pk, job.pk):
            self.add_error("depends_on", "That job waits for this one already: a circle.")
        return data

    def _post_clean(self) -> None:
        """The verb makes the row."""


@admin.register(Dependency)
class DependencyAdmin(SavedByVerb, ListAdmin):
    form = DependencyForm
    list_display = ["waiting", "other", "outcome", "within_seconds", "created_at"]
    list_display_links = None
    list_select_related = ["job", "depends_on"]
    list_filter = ["outcome"]
    search_fields = ["job__name", "depends_on__name"]
    ordering = ["-created_at", "id"]
    fields = ["job", "depends_on", "outcome", "within_seconds"]

    def get_urls(self) -> list[URLPattern]:
        graph = path("graph/", self.admin_site.admin_view(self.graph_view), name="jobs_dependency_graph")
        return [graph, *super().get_urls()]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("jobs.change_job"))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("jobs.change_job"))

    @admin.display(description="job", ordering="job__name")
    def waiting(self, bond: Dependency) -> SafeString:
        return shown.link(reverse("admin:jobs_dependency_change", args=(bond.pk,)), shown.name(bond.job.name))

    @admin.display(description="waits for", ordering="depends_on__name")
    def other(self, bond: Dependency) -> SafeString:
        return shown.link(
            reverse("admin:jobs_job_change", args=(bond.depends_on_id,)), shown.name(bond.depends_on.name)
        )

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        data = form.cleaned_data
        bond = operations.add_dependency(
            data["job"],
            data["depends_on"],
            by=actor_of(request.user),
            outcome=data["outcome"],
            within_seconds=data["within_seconds"],
        )
        bond.refresh_from_db()
        obj.__dict__.update(bond.__dict__)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        operations.remove_dependency(obj, by=actor_of(request.user))

    def graph_view(self, request: HttpRequest) -> HttpResponse:
        """The bonds as a drawing: who is waited for stands left."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        text = request.GET.get("job", "")
        key = int(text) if text.isdecimal() and len(text) < 19 else None
        context = {
            **self.admin_site.each_context(request),
            "title": "Dependencies as a graph",
            "opts": self.opts,
            **draw_graph(key),
        }
        return TemplateResponse(request, "admin/jobs/dependency/graph.html", context)


def draw_graph(key: int | None = None) -> dict[str, Any]:
    """Boxes and lines of all bonds, or of those that hang together with one job; at most MOST."""
    bonds = list(_around(key) if key else _all()[: MOST + 1])
    capped, bonds = len(bonds) > MOST, bonds[:MOST]
    jobs = {job.pk: job for bond in bonds for job in (bond.job, bond.depends_on)}
    layers = find_layers([(bond.job_id, bond.depends_on_id) for bond in bonds])
    places, stops = _place(bonds, jobs, layers)
    boxes = {pk: _draw_box(jobs[pk], *place, chosen=pk == key) for pk, place in places.items()}
    depth = max(
        (row for _, row in [*places.values(), *(stop for one in stops.values() for stop in one)]), default=-1
    )
    return {
        "boxes": list(boxes.values()),
        "lines": [
            _draw_line(boxes[bond.depends_on_id], boxes[bond.job_id], stops[bond.pk], bond) for bond in bonds
        ],
        "width": 20 + max(layers.values(), default=0) * LAYER + BOX,
        "height": 20 + (depth + 1) * ROW,
        "box_width": BOX,
        "capped": capped,
        "most": MOST,
    }


def _place(
    bonds: list[Dependency], jobs: dict[int, Job], layers: dict[int, int]
) -> tuple[dict[int, tuple[int, int]], dict[Any, list[tuple[int, int]]]]:
    """A layer and a row for every job, and for every bond the free rows that its line passes on its way.

    From left to right, each as near as may be to the rows that its lines come from.
    """
    places: dict[int, tuple[int, int]] = {}
    stops: dict[Any, list[tuple[int, int]]] = {bond.pk: [] for bond in bonds}
    row_of: dict[Any, int] = {}  # of a bond's line, up to the layer before
    for layer in range(max(layers.values(), default=-1) + 1):
        coming = defaultdict(list)
        for bond in bonds:
            coming[bond.job_id].append(row_of.get(bond.pk, 0))
        here: list[tuple[float, str, Any]] = [
            (sum(coming[pk]) / max(1, len(coming[pk])), job.name, pk)
            for pk, job in jobs.items()
            if layers[pk] == layer
        ]
        passing = {bond.pk for bond in bonds if layers[bond.depends_on_id] < layer < layers[bond.job_id]}
        here += [(row_of.get(pk, 0), "", pk) for pk in passing]
        for row, (_, _, pk) in enumerate(sorted(here, key=lambda one: one[:2])):
            if pk in passing:
                stops[pk].append((layer, row))
                row_of[pk] = row
            else:
                places[pk] = (layer, row)
        row_of |= {
            bond.pk: places[bond.depends_on_id][1] for bond in bonds if layers[bond.depends_on_id] == layer
        }
    return places, stops


def _draw_box(job: Job, layer: int, row: int, *, chosen: bool) -> dict[str, Any]:
    name = job.name if len(job.name) <= 21 else f"{job.name[:20]}…"
    return {
        "x": 10 + layer * LAYER,
        "y": 10 + row * ROW,
        "sign": shown.SIGNS.get(job.state, "·"),
        "name": name,
        "title": f"{job.name[:200]} ({job.state})",
        "state": job.state,
        "url": reverse("admin:jobs_job_change", args=(job.pk,)),
        "chosen": chosen,
    }


def _all() -> Any:
    rows = Dependency.objects.exclude(job__state=JobState.DELETED).select_related("job", "depends_on")
    return rows.order_by("-created_at", "id")


def _around(key: int) -> Iterable[Dependency]:
    """The bonds that hang together with a job, over any number of steps, in both directions."""
    seen: set[int] = set()
    found: dict[Any, Dependency] = {}
    edge = {key}
    while edge and len(found) <= MOST:
        near = _all().filter(job_id__in=edge) | _all().filter(depends_on_id__in=edge)
        seen |= edge
        for bond in near[: MOST + 1]:
            found[bond.pk] = bond
        edge = {pk for bond in found.values() for pk in (bond.job_id, bond.depends_on_id)} - seen
    return found.values()


def find_layers(bonds: Iterable[tuple[int, int]]) -> dict[int, int]:
    """For (job, waited for) pairs without a circle: who waits stands right of all it waits for."""
    needs: dict[int, set[int]] = defaultdict(set)
    for job, other in bonds:
        needs[job].add(other)
        needs.setdefault(other, set())
    layers: dict[int, int] = {}
    # SQL can write a circle; then what is left goes into one layer.
    while left := needs.keys() - layers.keys():
        free = {job for job in left if needs[job] <= layers.keys()} or left
        for job in free:
            layers[job] = 1 + max((layers.get(other, -1) for other in needs[job]), default=-1)
    return layers


def _draw_line(
    start: dict[str, Any], end: dict[str, Any], stops: list[tuple[int, int]], bond: Dependency
) -> dict[str, Any]:
    x, y = start["x"] + BOX, start["y"] + BOX_HEIGHT // 2
    path = f"M{x} {y}"
    for layer, row in stops:
        to_x, to_y = 10 + layer * LAYER, 10 + row * ROW + BOX_HEIGHT // 2
        path += f"{_curve(x, y, to_x, to_y)}H{to_x + BOX}"
        x, y = to_x + BOX, to_y
    within = f" within {bond.within_seconds} s" if bond.within_seconds else ""
    return {
        "path": path + _curve(x, y, end["x"], end["y"] + BOX_HEIGHT // 2),
        "outcome": bond.outcome.lower(),
        "title": f"{bond.job.name[:100]} waits for {bond.depends_on.name[:100]} ({bond.outcome}{within})",
    }


def _curve(x1: int, y1: int, x2: int, y2: int) -> str:
    bend = max(30, (x2 - x1) // 2)
    return f"C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"
