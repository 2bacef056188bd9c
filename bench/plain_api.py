"""The API that one writes first with REST framework, over the same rows: the floor of `bench.api`."""

from __future__ import annotations

from typing import Any

from django.urls import path
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.pagination import PageNumberPagination
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.serializers import ModelSerializer
from rest_framework.viewsets import ModelViewSet

from accounts.api.authentication import BearerAuthentication
from jobs.models import Job
from scheduler_site import urls


class PlainJobSerializer(ModelSerializer[Any]):
    """Every column."""

    class Meta:
        model = Job
        fields = "__all__"


class TwentyRows(PageNumberPagination):
    """The page of the measurement."""

    page_size = 20


class PlainJobViewSet(ModelViewSet[Any]):
    """No owner, no limit, nobody asked for a name."""

    queryset = Job.objects.order_by("-created_at", "-id")
    serializer_class = PlainJobSerializer
    pagination_class = TwentyRows
    lookup_field = "uuid"
    authentication_classes: list[Any] = []
    permission_classes: list[Any] = [AllowAny]
    throttle_classes: list[Any] = []
    renderer_classes = [JSONRenderer]
    content_negotiation_class = DefaultContentNegotiation
    http_method_names = ["get"]


class KnownJobViewSet(PlainJobViewSet):
    """The same behind a token, whose user is looked up as ours is."""

    authentication_classes = [BearerAuthentication]
    permission_classes = [IsAuthenticated]


urlpatterns = [
    path("plain/jobs", PlainJobViewSet.as_view({"get": "list"})),
    path("plain/jobs/<uuid:uuid>", PlainJobViewSet.as_view({"get": "retrieve"})),
    path("known/jobs", KnownJobViewSet.as_view({"get": "list"})),
    path("known/jobs/<uuid:uuid>", KnownJobViewSet.as_view({"get": "retrieve"})),
    *urls.urlpatterns,
]
