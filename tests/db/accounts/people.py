"""Users and their requests, in plain words."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from accounts.access_tokens import issue_token
from accounts.models import User

PASSWORD = "correct horse"
API = "/api/v1"


def make_user(email: str = "ada@example.com", *, groups: tuple[str, ...] = (), **fields: Any) -> User:
    user = User.objects.create_user(email, fields.pop("password", PASSWORD), **{"name": "Ada"} | fields)
    user.groups.set(Group.objects.filter(name__in=groups))
    return user


class Caller:
    """Sends JSON with a user's token, or without one."""

    def __init__(self, user: User | None = None, *, token: str | None = None, address: str = "") -> None:
        self.client = Client()
        self.token = issue_token(user, now=timezone.now()) if user else token
        self.address = address

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        extra: dict[str, Any] = {"REMOTE_ADDR": self.address} if self.address else {}
        options = {} if body is None else {"data": body, "content_type": "application/json"}
        return getattr(self.client, method)(f"{API}{path}", headers=headers, **options, **extra)


def fields_of(response: Any) -> dict[str, str]:
    """The details of a 400."""
    assert response.status_code == 400, response.content
    return {entry["field"]: entry["message"] for entry in response.json()["details"]}
