"""Reads the Authorization header."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.callers import find_caller
from accounts.models import User
from web.errors import Unauthorized


class BearerAuthentication(BaseAuthentication):
    """`Authorization: Bearer <access token or API key>`; without the header the caller is a guest."""

    def authenticate(self, request: Request) -> tuple[User, str] | None:
        header = request.headers.get("Authorization")
        if header is None or not header.strip():
            return None
        scheme, _space, bearer = header.strip().partition(" ")
        if scheme.lower() != "bearer" or not bearer.strip():
            raise Unauthorized("Authorization must be: Bearer, a space, and a token")
        return find_caller(bearer.strip(), now=timezone.now()), scheme

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.api.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "The `access_token` of POST /auth/login, or an API key of POST /auth/tokens.",
        }
