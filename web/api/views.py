"""What every API view stands on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from web.api.routes import BadId
from web.api.serializers import camelize
from web.errors import Forbidden, Invalid, NotFound, Unauthorized

NUL = "Must not contain a NUL character"


class ApiView(APIView):
    """A route. Its attributes say who may call it; `AccessPermission` holds to them."""

    # OPTIONS would describe the view; the schema does that better. CORS has its own middleware.
    http_method_names = ["get", "post", "put", "patch", "delete", "head", "trace"]

    open_to_all: ClassVar[bool] = False
    """No token is needed in any AUTH_MODE (a bad one is refused all the same)."""
    users_only: ClassVar[bool] = False
    """Guests are no callers, also with AUTH_MODE=optional."""
    staff_only: ClassVar[bool] = False
    """Others get 403."""
    owned: ClassVar[bool] = True
    """Whether its things have owners. Where not, `rights` are asked before the method runs."""
    rights: ClassVar[Mapping[str, str | None]] = {}
    """The permission ("jobs.operate_job") that staff need per action to change others' things."""
    noun: ClassVar[str] = "Route"
    """What a 404 says was not found."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        try:
            super().initial(request, *args, **kwargs)
        except (Unauthorized, Forbidden) as refusal:
            # Refused callers count too, or guessing would be free; a bad token makes a guest.
            if isinstance(refusal, Unauthorized):
                request.user = AnonymousUser()
            self.check_throttles(request)
            raise
        self._check_address(request)

    def permission_denied(
        self, request: Request, message: str | None = None, code: str | None = None
    ) -> NoReturn:
        raise Forbidden(message or "You may not do this")

    def owner_of(self, obj: Any) -> UUID | None:
        """The id of the user whose thing this is."""
        owner: UUID | None = obj.user_id
        return owner

    def _check_address(self, request: Request) -> None:
        problems = {}
        for name, value in self.kwargs.items():
            if isinstance(value, BadId):
                problems[camelize(name)] = value.reason
            elif isinstance(value, str) and "\x00" in value:
                problems[camelize(name)] = NUL
        if "%00" in request.META.get("QUERY_STRING", ""):
            for name, values in request.query_params.lists():
                if "\x00" in name or any("\x00" in str(value) for value in values):
                    problems[name.replace("\x00", "")] = NUL
        if problems:
            raise Invalid(problems)


class ApiViewSet(ApiView, GenericViewSet[Any]):
    """The verbs of one kind of thing. Subclasses write the actions and declare:

    - `queryset`, whose `visible_to(user)` leaves what the caller may know of (override `get_queryset`
      where there is no owner), `serializer_class`, `noun`, `items_key`;
    - `lookup_field`, the model's field that the `id` in the address names;
    - `rights`, `page_limit`, `page_envelope` where they differ from the defaults.
    """

    lookup_field = "pk"
    lookup_url_kwarg = "id"
    items_key: ClassVar[str] = "items"
    page_limit: ClassVar[int] = 10
    page_envelope: ClassVar[bool] = True

    def get_queryset(self) -> QuerySet[Any]:
        rows: Any = super().get_queryset()
        return rows.visible_to(self.request.user) if self.owned else rows  # type: ignore[no-any-return]

    def get_object(self) -> Any:
        """The thing that the address names, if the caller may do this action to it.

        Raises NotFound with the noun for what does not exist or belongs to somebody else.
        """
        key = self.kwargs[self.lookup_url_kwarg or self.lookup_field]
        found = self.get_queryset().filter(**{self.lookup_field: key}).first()
        if found is None:
            raise NotFound(self.noun)
        self.check_object_permissions(self.request, found)
        return found

    def list_page(self, rows: QuerySet[Any], **options: Any) -> Response:
        """Answer one page of the rows, through the view's serializer, as the query asks for it."""
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(self.get_serializer(page, many=True, **options).data)

    def read_body(self, serializer_class: type[BaseSerializer[Any]] | None = None, **options: Any) -> Any:
        """The validated body as a dict with snake_case names. Raises the 400 with every problem."""
        make = serializer_class or self.get_serializer_class()
        serializer = make(data=self.request.data, context=self.get_serializer_context(), **options)
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data
