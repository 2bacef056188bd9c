"""GET and PATCH /auth/me."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from accounts.models import User
from jobs.models import AuditEntry
from tests.db.accounts.people import PASSWORD, Caller, fields_of, make_user

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("mode", "words"), [("required", "AUTH_MODE is required"), ("optional", "AUTH_MODE=optional")]
)
def test_without_a_token_it_is_401_and_names_the_mode(mode: str, words: str) -> None:
    with override_settings(AUTH_MODE=mode):
        for path in ("/auth/me", "/auth/tokens"):
            response = Caller()("get", path)
            assert response.status_code == 401
            assert words in response.json()["message"]
            assert response["WWW-Authenticate"] == "Bearer"


def test_the_name_can_be_changed() -> None:
    user = make_user()
    response = Caller(user)("patch", "/auth/me", {"name": " Ada L. "})
    assert (response.status_code, response.json()["name"]) == (200, "Ada L.")
    assert User.objects.get().name == "Ada L."


def test_an_empty_change_changes_nothing() -> None:
    user = make_user()
    assert (
        Caller(user)("patch", "/auth/me", {}).json()["updatedAt"]
        == Caller(user)("get", "/auth/me").json()["updatedAt"]
    )


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"password": "12345678"}, {"currentPassword": "Required"}),
        ({"currentPassword": PASSWORD}, {"password": "Required"}),
        (
            {"password": "12345678", "currentPassword": "wrong"},
            {"currentPassword": "Is not the current password"},
        ),
        ({"password": "short", "currentPassword": PASSWORD}, {"password": "Must have at least 8 characters"}),
        ({"name": None}, {"name": "Must not be null"}),
        ({"email": "b@example.com"}, {"email": "Unknown field"}),
        ({"isStaff": True}, {"isStaff": "Unknown field"}),
    ],
)
def test_a_bad_change_is_400_and_changes_nothing(body: dict[str, Any], found: dict[str, str]) -> None:
    user = make_user()
    before = User.objects.values().get()
    assert fields_of(Caller(user)("patch", "/auth/me", body)) == found
    assert User.objects.values().get() == before


def test_guessing_the_current_password_is_limited_like_logging_in() -> None:
    caller = Caller(make_user())
    guess = {"password": "12345678", "currentPassword": "wrong"}
    statuses = [caller("patch", "/auth/me", guess).status_code for _ in range(11)]
    assert statuses == [400] * 10 + [429]


def test_a_name_sent_at_the_same_time_as_a_lock_out_does_not_undo_it() -> None:
    user = make_user()
    User.objects.update(is_active=False)
    user.name = "late"
    user.save(update_fields=["name"])
    assert User.objects.get().is_active is False


def test_what_one_does_to_oneself_is_audited_without_secrets() -> None:
    with override_settings(REGISTRATION_OPEN=True):
        body = {"email": "eve@example.com", "password": PASSWORD, "name": "Eve"}
        caller = Caller(token=Caller()("post", "/auth/register", body).json()["access_token"])
    key = caller("post", "/auth/tokens", {"name": "ci"}).json()
    caller("delete", f"/auth/tokens/{key['id']}")
    caller("patch", "/auth/me", {"name": "Eve L."})
    caller("patch", "/auth/me", {"name": "Eve L."})
    caller("patch", "/auth/me", {"password": "canary-word", "currentPassword": PASSWORD})

    user = User.objects.get()
    entries = list(AuditEntry.objects.order_by("id"))
    assert [(entry.action, entry.subject) for entry in entries] == [
        ("CREATED", f"user:{user.pk}"),
        ("CREATED", f"key:{key['id']}"),
        ("DELETED", f"key:{key['id']}"),
        ("UPDATED", f"user:{user.pk}"),
        ("UPDATED", f"user:{user.pk}"),
    ]
    assert {entry.changed_by for entry in entries} == {"eve@example.com"}
    assert all(entry.request_id for entry in entries)
    assert entries[3].change_details == {"name": {"old": "Eve", "new": "Eve L."}}
    told = str([entry.change_details for entry in entries])
    assert "canary" not in told
    assert key["token"] not in told
