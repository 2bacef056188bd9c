"""Where reports answer."""

from __future__ import annotations

from reports.api.views import ReportViewSet
from web.api.routes import route

urlpatterns = [
    route("reports", ReportViewSet, get="list"),
    route("reports/<id:id>", ReportViewSet, get="retrieve"),
    route("reports/<id:id>/download", ReportViewSet, get="download"),
]
