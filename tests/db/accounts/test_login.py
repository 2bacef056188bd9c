"""POST /auth/login."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import BCryptSHA256PasswordHasher
from django.test import override_settings
from django.utils import timezone

from accounts import login
from accounts.models import LoginAttempt
from tests.db.accounts.people import PASSWORD, Caller, fields_of, make_user
from web.errors import TooManyRequests

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", ["email", "username"])
def test_email_and_password_are_exchanged_for_a_token(name: str, settings: Any) -> None:
    user = make_user()
    response = Caller()("post", "/auth/login", {name: "ADA@example.com", "password": PASSWORD})
    body = response.json()
    assert response.status_code == 200
    assert set(body) == {"user", "access_token", "token_type", "expires_in"}
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 86_400)
    claims = jwt.decode(body["access_token"], settings.JWT_SECRET, algorithms=["HS256"])
    assert set(claims) == {"sub", "email", "iat", "exp"}
    assert (claims["sub"], claims["email"]) == (str(user.pk), "ada@example.com")
    assert claims["exp"] - claims["iat"] == 86_400
    user.refresh_from_db()
    assert user.last_login is not None


@pytest.mark.parametrize(
    ("email", "password", "active"),
    [
        ("ada@example.com", "wrong", True),
        ("bob@example.com", PASSWORD, True),
        ("ada@example.com", PASSWORD, False),
    ],
)
def test_wrong_unknown_and_inactive_are_told_apart_by_nobody(email: str, password: str, active: bool) -> None:
    make_user(is_active=active)
    response = Caller()("post", "/auth/login", {"email": email, "password": password})
    body = response.json()
    assert (response.status_code, body["error"], body["message"]) == (
        401,
        "Unauthorized",
        "Invalid credentials",
    )
    assert response["WWW-Authenticate"] == "Bearer"


def test_an_unknown_email_costs_as_many_hashes_as_a_known_one(monkeypatch: pytest.MonkeyPatch) -> None:
    hasher = "django.contrib.auth.hashers.BCryptSHA256PasswordHasher"
    rounds: list[str] = []
    encode = BCryptSHA256PasswordHasher.encode
    monkeypatch.setattr(BCryptSHA256PasswordHasher, "rounds", 4)

    def count(self: Any, password: str, salt: Any) -> str:
        rounds.append(password)
        return encode(self, password, salt)

    with override_settings(PASSWORD_HASHERS=[hasher]):
        make_user()
        monkeypatch.setattr(BCryptSHA256PasswordHasher, "encode", count)
        for email in ("ada@example.com", "bob@example.com"):
            rounds.clear()
            Caller()("post", "/auth/login", {"email": email, "password": "wrong"})
            assert rounds == ["wrong"]


def test_missing_and_contradicting_names_are_400() -> None:
    assert fields_of(Caller()("post", "/auth/login", {})) == {"email": "Required", "password": "Required"}
    assert fields_of(Caller()("post", "/auth/login", {"password": "x"})) == {"email": "Required"}
    both = {"email": "a@example.com", "username": "b@example.com", "password": "x"}
    assert fields_of(Caller()("post", "/auth/login", both)) == {"username": "Must be the same as email"}


def test_the_eleventh_try_in_a_minute_is_429_also_with_the_right_password() -> None:
    make_user()
    caller = Caller()
    wrong = {"email": "ada@example.com", "password": "wrong"}
    assert [caller("post", "/auth/login", wrong).status_code for _ in range(10)] == [401] * 10
    response = caller("post", "/auth/login", wrong | {"email": " ADA@example.com", "password": PASSWORD})
    assert (response.status_code, response.json()["error"]) == (429, "Too many requests")
    assert 0 < int(response["Retry-After"]) <= 60


def test_tries_count_per_address_and_email() -> None:
    make_user()
    for _ in range(11):
        last = Caller()("post", "/auth/login", {"email": "ada@example.com", "password": "wrong"})
    assert last.status_code == 429
    good = {"email": "ada@example.com", "password": PASSWORD}
    assert Caller(address="198.51.100.7")("post", "/auth/login", good).status_code == 200
    other = {"email": "bob@example.com", "password": "x"}
    assert Caller()("post", "/auth/login", other).status_code == 401


def test_a_minute_after_the_first_try_the_count_begins_anew() -> None:
    now = timezone.now()
    for second in range(10):
        login.count_try(address="a", email="e", now=now + timedelta(seconds=second))
    with pytest.raises(TooManyRequests) as refused:
        login.count_try(address="a", email="e", now=now + timedelta(seconds=59))
    assert refused.value.wait == 1
    login.count_try(address="a", email="e", now=now + timedelta(seconds=60))
    assert LoginAttempt.objects.get().tries == 1


def test_old_counts_are_deleted() -> None:
    now = timezone.now()
    login.count_try(address="a", email="old", now=now - timedelta(hours=2))
    login.count_try(address="a", email="new", now=now)
    assert LoginAttempt.objects.count() == 1


def test_the_login_of_the_admin_counts_with_the_others() -> None:
    make_user(is_staff=True)
    assert authenticate(None, username="ADA@example.com", password=PASSWORD) is not None
    for _ in range(9):
        assert authenticate(None, username="ada@example.com", password="wrong") is None
    assert authenticate(None, username="ada@example.com", password=PASSWORD) is None
