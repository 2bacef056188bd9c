"""Calendars: the days on which jobs do not fire."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from executions import operations
from jobs.api.requests import CalendarChangesSerializer, CalendarImportSerializer, NewCalendarSerializer
from jobs.api.serializers import CalendarSerializer
from jobs.audit import actor_of
from jobs.models import Calendar
from web.api.routes import link
from web.api.views import ApiViewSet


class CalendarViewSet(ApiViewSet):
    """Everybody reads them, admins change them."""

    queryset = Calendar.objects.order_by("name")
    serializer_class = CalendarSerializer
    owned = False
    lookup_url_kwarg = "name"
    noun = "Calendar"
    items_key = "calendars"
    rights = {
        "create": "jobs.add_calendar",
        "partial_update": "jobs.change_calendar",
        "destroy": "jobs.delete_calendar",
        "import_days": "jobs.change_calendar",
    }

    @extend_schema(responses=CalendarSerializer(many=True))
    def list(self, request: Request) -> Response:
        """The calendars by name."""
        return self.list_page(self.get_queryset())

    @extend_schema(request=NewCalendarSerializer, responses={201: CalendarSerializer})
    def create(self, request: Request) -> Response:
        """Make a calendar. 409 for a name that is taken."""
        body = self.read_body(NewCalendarSerializer)
        actor = actor_of(request.user, called=body.pop("changed_by", None))
        calendar = operations.create_calendar(body.pop("name"), body, by=actor)
        headers = {"Location": link(f"/calendars/{calendar.name}")}
        return Response(CalendarSerializer(calendar).data, status=201, headers=headers)

    @extend_schema(responses=CalendarSerializer)
    def retrieve(self, request: Request, **address: Any) -> Response:
        """One calendar."""
        return Response(CalendarSerializer(self.get_object()).data)

    @extend_schema(request=CalendarChangesSerializer, responses=CalendarSerializer)
    def partial_update(self, request: Request, **address: Any) -> Response:
        """Change a calendar; the jobs that use it are planned anew."""
        body = self.read_body(CalendarChangesSerializer)
        actor = actor_of(request.user, called=body.pop("changed_by", None))
        calendar = operations.change_calendar(self.get_object(), body, by=actor)
        return Response(CalendarSerializer(calendar).data)

    @extend_schema(request=None, responses={204: None})
    def destroy(self, request: Request, **address: Any) -> Response:
        """Forget a calendar. 409 while a job uses it."""
        operations.delete_calendar(self.get_object(), by=actor_of(request.user))
        return Response(status=204)

    @extend_schema(
        operation_id="calendars_import", request=CalendarImportSerializer, responses=CalendarSerializer
    )
    def import_days(self, request: Request, **address: Any) -> Response:
        """Add the whole-day events of an iCal text as closed days."""
        body = self.read_body(CalendarImportSerializer)
        actor = actor_of(request.user, called=body.get("changed_by"))
        calendar = operations.import_days(self.get_object(), body["ics"], by=actor)
        return Response(CalendarSerializer(calendar).data)
