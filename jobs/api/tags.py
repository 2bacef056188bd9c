"""Tags: labels that may carry limits."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Q, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from executions import operations
from jobs import definitions
from jobs.api.one import OneJobViewSet
from jobs.api.requests import JobTagsSerializer, NewTagSerializer
from jobs.api.serializers import JobSerializer, TagSerializer
from jobs.audit import actor_of
from jobs.models import JobState, Tag
from web.api.routes import link
from web.api.views import ApiViewSet
from web.errors import Invalid


def counted(tags: QuerySet[Tag]) -> QuerySet[Tag]:
    """The tags with the number of their jobs that were not deleted, as `job_count`."""
    return tags.annotate(job_count=Count("job_tags", filter=~Q(job_tags__job__state=JobState.DELETED)))


class TagViewSet(ApiViewSet):
    """The caller's tags."""

    queryset = Tag.objects.order_by("-created_at", "-id")
    serializer_class = TagSerializer
    noun = "Tag"
    items_key = "tags"
    rights = {"partial_update": "jobs.change_tag", "destroy": "jobs.delete_tag"}

    @extend_schema(responses=TagSerializer(many=True))
    def list(self, request: Request) -> Response:
        """The tags, newest first."""
        return self.list_page(counted(self.get_queryset()))

    @extend_schema(request=NewTagSerializer, responses={201: TagSerializer})
    def create(self, request: Request) -> Response:
        """Make a tag; its two limits hold for all its jobs together. 409 for a name that is taken."""
        body = self.read_body(NewTagSerializer)
        actor = actor_of(request.user, called=body.pop("changed_by", None))
        tag = operations.create_tag(body, by=actor)
        return self._answer(tag, status=201, headers={"Location": link(f"/tags/{tag.pk}")})

    @extend_schema(request=NewTagSerializer, responses=TagSerializer)
    def partial_update(self, request: Request, **address: Any) -> Response:
        """Rename a tag, or change its limits; null takes a limit away."""
        tag, body = self.get_object(), self.read_body(NewTagSerializer, partial=True)
        actor = actor_of(request.user, called=body.pop("changed_by", None))
        return self._answer(operations.change_tag(tag, body, by=actor))

    @extend_schema(request=None, responses={204: None})
    def destroy(self, request: Request, **address: Any) -> Response:
        """Take the tag from all its jobs and forget it."""
        operations.delete_tag(self.get_object(), by=actor_of(request.user))
        return Response(status=204)

    def _answer(self, tag: Tag, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
        row = counted(Tag.objects.filter(pk=tag.pk)).get()
        return Response(TagSerializer(row).data, status=status, headers=headers)


class JobTagViewSet(OneJobViewSet):
    """The tags of one job."""

    items_key = "tags"
    rights = {"update": "jobs.change_job"}

    @extend_schema(responses=TagSerializer(many=True))
    def list(self, request: Request, **address: Any) -> Response:
        """The job's tags by name."""
        tags = counted(Tag.objects.filter(jobs=self.get_object())).order_by("name", "id")
        return self.get_paginated_response(TagSerializer(self.paginate_queryset(tags), many=True).data)

    @extend_schema(request=JobTagsSerializer, responses=JobSerializer)
    def update(self, request: Request, **address: Any) -> Response:
        """Give the job these tags of its owner, made where they are missing, and no others."""
        job, body = self.get_object(), self.read_body(JobTagsSerializer)
        try:
            names = definitions.read_tags(body["tags"])
        except ValueError as error:
            raise Invalid({"tags": str(error)}) from None
        operations.update(job, {}, by=self.actor(body), tags=names)
        return self.answer_job(job)
