"""POST /auth/register."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.db import connection
from django.test import override_settings

from accounts.models import User
from tests.db.accounts.people import Caller, fields_of, make_user

pytestmark = pytest.mark.django_db

GOOD = {"email": "Ada@Example.COM", "password": "12345678", "name": "Ada"}


@override_settings(REGISTRATION_OPEN=True)
def test_a_new_user_is_answered_with_a_token_and_never_the_password() -> None:
    response = Caller()("post", "/auth/register", GOOD)
    assert response.status_code == 201
    body = response.json()
    assert set(body) == {"user", "access_token"}
    assert set(body["user"]) == {
        "id", "email", "name", "isActive", "isStaff", "groups", "createdAt", "updatedAt"
    }  # fmt: skip
    assert (body["user"]["email"], body["user"]["isStaff"], body["user"]["groups"]) == (
        "ada@example.com", False, []
    )  # fmt: skip
    assert Caller(token=body["access_token"])("get", "/auth/me").json() == body["user"]


@override_settings(REGISTRATION_OPEN=False)
def test_closed_registration_is_403_and_names_the_setting() -> None:
    response = Caller()("post", "/auth/register", GOOD)
    assert response.status_code == 403
    assert "REGISTRATION_OPEN" in response.json()["message"]
    assert not User.objects.exists()


@override_settings(REGISTRATION_OPEN=True)
def test_an_email_that_is_taken_in_any_case_is_409() -> None:
    make_user("ADA@example.com")
    response = Caller()("post", "/auth/register", GOOD)
    assert (response.status_code, response.json()["error"]) == (409, "Conflict")
    assert User.objects.count() == 1


@override_settings(REGISTRATION_OPEN=True)
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": "ada"}, "email"),
        ({"email": None}, "email"),
        ({"email": 5}, "email"),
        ({"email": "a@" + "x" * 250 + ".com"}, "email"),
        ({"password": "1234567"}, "password"),
        ({"password": "x" * 129}, "password"),
        ({"password": 12345678}, "password"),
        ({"name": ""}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"isStaff": True}, "isStaff"),
        ({"is_superuser": True}, "is_superuser"),
        ({"groups": ["admins"]}, "groups"),
        ({"id": "6f9619ff-8b86-d011-b42d-00c04fc964ff"}, "id"),
    ],
)
def test_what_is_not_asked_for_or_out_of_bounds_is_400(change: dict[str, Any], field: str) -> None:
    assert field in fields_of(Caller()("post", "/auth/register", GOOD | change))
    assert not User.objects.exists()


@override_settings(REGISTRATION_OPEN=True)
def test_every_missing_field_is_required() -> None:
    found = fields_of(Caller()("post", "/auth/register", {}))
    assert found == dict.fromkeys(("email", "password", "name"), "Required")


@override_settings(REGISTRATION_OPEN=True)
def test_a_password_is_taken_as_it_is_typed() -> None:
    Caller()("post", "/auth/register", GOOD | {"password": "  spaces  "})
    assert User.objects.get().check_password("  spaces  ")


@pytest.mark.django_db(transaction=True)
def test_nothing_is_locked_while_a_password_is_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    inside: list[bool] = []

    def encode(hasher: Any, password: str, salt: str) -> str:
        inside.append(connection.in_atomic_block)
        return f"{hasher.algorithm}${salt}${password[::-1]}"

    monkeypatch.setattr(MD5PasswordHasher, "encode", encode)
    with override_settings(REGISTRATION_OPEN=True):
        answer = Caller()("post", "/auth/register", {"email": "a@b.de", "password": "12345678", "name": "A"})
    caller = Caller(token=answer.json()["access_token"])
    change = {"password": "another one", "currentPassword": "12345678"}

    assert caller("patch", "/auth/me", change).status_code == 200
    assert len(inside) >= 2
    assert not any(inside)
