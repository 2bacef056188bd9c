"""Reads the Authorization header."""

from __future__ import annotations

from django.utils import timezone
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
