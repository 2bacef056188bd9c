"""Where alerts answer."""

from __future__ import annotations

from alerts.api.views import AlertViewSet, DeliveryViewSet, JobAlertViewSet
from web.api.routes import route

urlpatterns = [
    route("alerts", AlertViewSet, get="list", post="create"),
    route("alerts/<id:id>", AlertViewSet, get="retrieve", patch="partial_update", delete="destroy"),
    route("alerts/<id:id>/deliveries", DeliveryViewSet, get="list"),
    route("alerts/<id:id>/test", AlertViewSet, post="test"),
    route("jobs/<id:id>/alerts", JobAlertViewSet, get="list", post="create"),
]
