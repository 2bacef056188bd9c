"""Registering, logging in, one's own account and keys, and users for staff."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import operations
from accounts.access_tokens import issue_token
from accounts.api.serializers import (
    ApiKeySerializer,
    LoggedInSerializer,
    LoginSerializer,
    MeSerializer,
    NewApiKeySerializer,
    RegisteredSerializer,
    RegisterSerializer,
    UserSerializer,
)
from accounts.api_keys import create_key
from accounts.login import log_in
from accounts.models import ApiToken, User
from jobs import audit
from web.api.routes import link
from web.api.views import ApiViewSet
from web.redaction import MASK


class SignInViewSet(ApiViewSet):
    """Without a token, to get one."""

    open_to_all = True
    pagination_class = None

    @extend_schema(
        operation_id="auth_register", request=RegisterSerializer, responses={201: RegisteredSerializer}
    )
    def register(self, request: Request) -> Response:
        """Make an account and log in. 403 unless REGISTRATION_OPEN, 409 for an e-mail that is taken."""
        operations.require_open_registration()
        user = operations.make_user(**self.read_body(RegisterSerializer))
        with transaction.atomic():
            operations.register(user)
            audit.write("CREATED", by=user.email, subject=f"user:{user.pk}", changes={"email": user.email})
        token = issue_token(user, now=timezone.now())
        return Response({"user": UserSerializer(user).data, "access_token": token}, status=201)

    @extend_schema(operation_id="auth_login", request=LoginSerializer, responses=LoggedInSerializer)
    def login(self, request: Request) -> Response:
        """Exchange e-mail and password for a token; ten tries a minute."""
        now = timezone.now()
        user = log_in(**self.read_body(LoginSerializer), address=request.META.get("REMOTE_ADDR", ""), now=now)
        return Response(
            {
                "user": UserSerializer(user).data,
                "access_token": issue_token(user, now=now),
                "token_type": "Bearer",
                "expires_in": int(settings.JWT_EXPIRATION.total_seconds()),
            }
        )


class MeViewSet(ApiViewSet):
    """The caller's own account."""

    users_only = True
    pagination_class = None
    noun = "User"

    @extend_schema(responses=UserSerializer)
    def show(self, request: Request) -> Response:
        """Who the token stands for."""
        return Response(UserSerializer(request.user).data)

    @extend_schema(request=MeSerializer, responses=UserSerializer)
    def change(self, request: Request) -> Response:
        """Change the name, or the password, which ends all older access tokens."""
        body = self.read_body(MeSerializer)
        user = cast("User", request.user)
        if "password" in body:
            address = request.META.get("REMOTE_ADDR", "")
            operations.check_own_password(user, body["current_password"], address=address, now=timezone.now())
            user.set_password(body["password"])
        self._save(user, body)
        return Response(UserSerializer(user).data)

    @transaction.atomic
    def _save(self, user: User, body: dict[str, Any]) -> None:
        changes: dict[str, Any] = {}
        if "password" in body:
            operations.save_password(user)
            changes["password"] = {"old": MASK, "new": MASK}
        if body.get("name", user.name) != user.name:
            changes["name"] = {"old": user.name, "new": body["name"]}
            operations.rename(user, name=body["name"])
        if changes:
            audit.write("UPDATED", by=user.email, subject=f"user:{user.pk}", changes=changes)


class ApiKeyViewSet(ApiViewSet):
    """The caller's own keys."""

    users_only = True
    queryset = ApiToken.objects.order_by("-created_at", "-id")
    serializer_class = ApiKeySerializer
    noun = "Token"
    items_key = "tokens"

    def get_queryset(self) -> Any:
        return self.queryset.filter(user=cast("User", self.request.user))

    @extend_schema(responses=ApiKeySerializer(many=True))
    def list(self, request: Request) -> Response:
        """The keys, without their texts."""
        return self.list_page(self.get_queryset())

    @extend_schema(request=ApiKeySerializer, responses={201: NewApiKeySerializer})
    def create(self, request: Request) -> Response:
        """Make a key; `token` is its text and shown only now."""
        user, body = cast("User", request.user), self.read_body()
        with transaction.atomic():
            key, text = create_key(user, **body)
            audit.write("CREATED", by=user.email, subject=f"key:{key.pk}", changes={"name": key.name})
        headers = {"Location": link(f"/auth/tokens/{key.pk}")}
        return Response(ApiKeySerializer(key).data | {"token": text}, status=201, headers=headers)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, **address: Any) -> Response:
        """Revoke a key at once."""
        key = self.get_object()
        with transaction.atomic():
            audit.write("DELETED", by=key.user.email, subject=f"key:{key.pk}", changes={"name": key.name})
            key.delete()
        return Response(status=204)


class UserViewSet(ApiViewSet):
    """All users, for staff."""

    staff_only = True
    owned = False
    rights = {"partial_update": "accounts.change_user"}
    queryset = User.objects.order_by("-created_at", "-id").prefetch_related("groups")
    serializer_class = UserSerializer
    noun = "User"
    items_key = "users"

    @extend_schema(responses=UserSerializer(many=True))
    def list(self, request: Request) -> Response:
        """Every user, newest first."""
        return self.list_page(self.get_queryset())

    @extend_schema(request=UserSerializer, responses=UserSerializer)
    def partial_update(self, request: Request, **address: Any) -> Response:
        """Change a user's standing, groups or name; for admins."""
        actor, user = cast("User", request.user), self.get_object()
        body = self.read_body(partial=True)
        with transaction.atomic():
            changes = operations.change_user(actor, user, **body)
            if changes:
                audit.write("UPDATED", by=actor.email, subject=f"user:{user.pk}", changes=changes)
        return Response(UserSerializer(self.get_object()).data)
