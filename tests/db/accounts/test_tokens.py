"""What is accepted as a bearer, and what is not."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.conf import settings
from django.utils import timezone

from accounts.access_tokens import issue_token
from accounts.api_keys import create_key
from accounts.models import ApiToken, User
from tests.db.accounts.people import PASSWORD, Caller, fields_of, make_user

pytestmark = pytest.mark.django_db


def claims_of(user: User, **changes: Any) -> dict[str, Any]:
    now = int(timezone.now().timestamp())
    claims = {"sub": str(user.pk), "email": user.email, "iat": now, "exp": now + 60} | changes
    return {name: value for name, value in claims.items() if value is not None}


def sign(claims: dict[str, Any], *, key: str | None = None, algorithm: str = "HS256") -> str:
    return jwt.encode(claims, settings.JWT_SECRET if key is None else key, algorithm=algorithm)


def unsigned(claims: dict[str, Any], algorithm: str) -> str:
    parts = [{"alg": algorithm, "typ": "JWT"}, claims]
    text = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    return text.decode() + "."


def status(token: str) -> int:
    response = Caller(token=token)("get", "/auth/me")
    if response.status_code == 401:
        assert response["WWW-Authenticate"] == "Bearer"
    return int(response.status_code)


def test_a_good_token_is_accepted() -> None:
    user = make_user()
    assert status(sign(claims_of(user))) == 200


def rsa_key() -> str:
    """A private key of somebody else, who hopes that the algorithm is taken from the token."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    text = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text.decode()


def forgeries(user: User) -> dict[str, str]:
    good = sign(claims_of(user))
    head, body, signature = good.split(".")
    now = int(timezone.now().timestamp())
    return {
        "alg none": unsigned(claims_of(user), "none"),
        "alg None": unsigned(claims_of(user), "None"),
        "no signature": f"{head}.{body}.",
        "cut": good[:-1],
        "changed": f"{head}.{body[:-2]}AA.{signature}",
        "other key": sign(claims_of(user), key="k" * 40),
        "the other secret of this place": sign(claims_of(user), key=settings.SECRET_KEY),
        "RS256": sign(claims_of(user), key=rsa_key(), algorithm="RS256"),
        "HS512": sign(claims_of(user), algorithm="HS512"),
        "expired": sign(claims_of(user, iat=now - 100, exp=now)),
        "no exp": sign(claims_of(user, exp=None)),
        "no iat": sign(claims_of(user, iat=None)),
        "no sub": sign(claims_of(user, sub=None)),
        "no email": sign(claims_of(user, email=None)),
        "endless exp": sign(claims_of(user, exp=10**400)),
        "exp as text": sign(claims_of(user, exp="9999999999")),
        "sub is no id": sign(claims_of(user, sub="1")),
        "sub is nobody": sign(claims_of(user, sub="6f9619ff-8b86-d011-b42d-00c04fc964ff")),
        "another type": sign(claims_of(user, token_type="refresh")),
        "another audience": sign(claims_of(user, aud="elsewhere")),
        "huge": good + "A" * 5000,
        "deep": base64.urlsafe_b64encode(b"[" * 3000).decode() + ".e30.AA",
        "words": "not a token",
        "dots": "..",
        "key that is none": "sk_" + "A" * 43,
    }


def test_no_forgery_is_accepted_and_all_are_refused_alike() -> None:
    user = make_user()
    answers = {}
    for name, token in forgeries(user).items():
        response = Caller(token=token)("get", "/auth/me")
        answers[name] = (response.status_code, response.json()["message"])
    assert set(answers.values()) == {(401, "The token is not valid, has expired or was revoked")}, answers


@pytest.mark.parametrize("header", ["Basic YTpi", "Bearer", "Bearer ", "Token abc", "garbage"])
def test_another_scheme_is_401(header: str) -> None:
    assert Caller()("get", "/auth/me", authorization=header).status_code == 401


def test_the_scheme_may_be_written_in_any_case() -> None:
    token = issue_token(make_user(), now=timezone.now())
    assert Caller()("get", "/auth/me", authorization=f"bearer {token}").status_code == 200


def test_a_bad_token_is_401_also_where_none_is_required() -> None:
    assert Caller(token="bad").client.get("/", headers={"authorization": "Bearer bad"}).status_code == 401
    response = Caller(token="bad")("post", "/auth/login", {"email": "a@example.com", "password": "x"})
    assert response.json()["message"] == "The token is not valid, has expired or was revoked"


def test_a_disabled_and_a_deleted_user_are_out_at_once() -> None:
    user = make_user()
    token = issue_token(user, now=timezone.now())
    _key, text = create_key(user, name="k")
    User.objects.update(is_active=False)
    assert (status(token), status(text)) == (401, 401)
    User.objects.update(is_active=True)
    assert (status(token), status(text)) == (200, 200)
    user.delete()
    assert (status(token), status(text)) == (401, 401)


def test_a_new_password_ends_older_tokens_even_of_the_same_second_and_not_newer_ones() -> None:
    user = make_user()
    old = Caller(user)
    response = old("patch", "/auth/me", {"password": "new password", "currentPassword": PASSWORD})
    assert response.status_code == 200
    assert old("get", "/auth/me").status_code == 401
    body = Caller()("post", "/auth/login", {"email": user.email, "password": "new password"}).json()
    assert status(body["access_token"]) == 200


def test_a_key_is_shown_once_and_kept_as_a_hash() -> None:
    caller = Caller(make_user())
    response = caller("post", "/auth/tokens", {"name": "nightly"})
    body = response.json()
    assert response.status_code == 201
    assert set(body) == {"id", "name", "expiresAt", "lastUsedAt", "createdAt", "token"}
    assert response["Location"] == f"/api/v1/auth/tokens/{body['id']}"
    key = body.pop("token")
    assert key.startswith("sk_")
    assert len(key) >= 43
    assert ApiToken.objects.filter(token_hash__contains=key).count() == 0
    listed = caller("get", "/auth/tokens").json()
    assert listed["tokens"] == [body]
    assert (listed["total"], listed["page"], listed["limit"]) == (1, 1, 10)
    assert key not in json.dumps(listed)
    assert status(key) == 200


def test_a_key_that_was_cut_revoked_or_has_expired_is_401() -> None:
    user = make_user()
    caller = Caller(user)
    body = caller("post", "/auth/tokens", {"name": "a"}).json()
    assert status(body["token"][:-1]) == 401
    assert status(body["token"] + "x") == 401
    assert status(body["token"]) == 200
    assert caller("delete", f"/auth/tokens/{body['id']}").status_code == 204
    assert status(body["token"]) == 401
    _key, expired = create_key(user, name="b", expires_at=timezone.now() - timedelta(seconds=1))
    _key, lasting = create_key(user, name="c", expires_at=timezone.now() + timedelta(hours=1))
    assert (status(expired), status(lasting)) == (401, 200)


def test_the_use_of_a_key_is_noted_once_a_minute() -> None:
    key, text = create_key(make_user(), name="k")
    status(text)
    key.refresh_from_db()
    first = key.last_used_at
    assert first is not None
    status(text)
    key.refresh_from_db()
    assert key.last_used_at == first
    ApiToken.objects.update(last_used_at=first - timedelta(minutes=2))
    status(text)
    key.refresh_from_db()
    assert key.last_used_at > first


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "k", "expiresAt": "2020-01-01T00:00:00Z"}, "expiresAt"),
        ({"name": "k", "expiresAt": "soon"}, "expiresAt"),
        ({"name": "k", "token": "sk_mine"}, "token"),
        ({"name": "k", "tokenHash": "0" * 64}, "tokenHash"),
        ({"name": "k", "userId": "6f9619ff-8b86-d011-b42d-00c04fc964ff"}, "userId"),
    ],
)
def test_a_bad_key_is_400(body: dict[str, Any], field: str) -> None:
    assert field in fields_of(Caller(make_user())("post", "/auth/tokens", body))
    assert not ApiToken.objects.exists()


def test_another_users_key_is_unknown_also_to_staff() -> None:
    key, text = create_key(make_user(), name="k")
    for other in (make_user("bob@example.com"), User.objects.create_superuser("root@example.com", PASSWORD)):
        caller = Caller(other)
        response = caller("delete", f"/auth/tokens/{key.pk}")
        assert (response.status_code, response.json()["error"]) == (404, "Token not found")
        assert caller("get", "/auth/tokens").json()["total"] == 0
    assert status(text) == 200
