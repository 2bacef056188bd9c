"""Where jobs, tags, dependencies and calendars answer."""

from __future__ import annotations

from jobs.api.calendars import CalendarViewSet
from jobs.api.dependencies import DependencyViewSet
from jobs.api.history import AuditViewSet, VersionViewSet
from jobs.api.previews import PreviewViewSet
from jobs.api.tags import JobTagViewSet, TagViewSet
from jobs.api.views import JobViewSet
from web.api.routes import route

urlpatterns = [
    route("jobs", JobViewSet, get="list", post="create"),
    route(
        "jobs/<id:id>",
        JobViewSet,
        get="retrieve",
        put="update",
        patch="partial_update",
        delete="destroy",
    ),
    route("jobs/<id:id>/pause", JobViewSet, post="pause"),
    route("jobs/<id:id>/resume", JobViewSet, post="resume"),
    route("jobs/<id:id>/cancel", JobViewSet, post="cancel"),
    route("jobs/<id:id>/reschedule", JobViewSet, post="reschedule"),
    route("jobs/<id:id>/trigger", JobViewSet, post="trigger"),
    route("jobs/<id:id>/backfill", JobViewSet, post="backfill"),
    route("jobs/<id:id>/clone", JobViewSet, post="clone"),
    route("jobs/<id:id>/preview", JobViewSet, get="preview"),
    route("jobs/<id:id>/versions", VersionViewSet, get="list"),
    route("jobs/<id:id>/rollback", JobViewSet, post="rollback"),
    route("jobs/<id:id>/audit", AuditViewSet, get="list"),
    route("jobs/<id:id>/tags", JobTagViewSet, get="list", put="update"),
    route("jobs/<id:id>/dependencies", DependencyViewSet, get="list", post="create"),
    route("jobs/<id:id>/dependencies/<id:depends_on_job_id>", DependencyViewSet, delete="destroy"),
    route("schedules/preview", PreviewViewSet, post="create"),
    route("tags", TagViewSet, get="list", post="create"),
    route("tags/<id:id>", TagViewSet, patch="partial_update", delete="destroy"),
    route("calendars", CalendarViewSet, get="list", post="create"),
    route(
        "calendars/<str:name>",
        CalendarViewSet,
        get="retrieve",
        patch="partial_update",
        delete="destroy",
    ),
    route("calendars/<str:name>/import", CalendarViewSet, post="import_days"),
]
