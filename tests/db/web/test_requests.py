"""Every refusal, wherever it happens, has the same JSON body."""

from __future__ import annotations

import io
import json
import uuid
from typing import Any

import pytest
from django.db import InternalError, OperationalError
from django.test import Client, RequestFactory, override_settings
from psycopg import errors

from accounts.models import User
from web.api.throttle import LocalCounter
from web.middleware import BodySizeMiddleware

pytestmark = pytest.mark.django_db

LOGIN = "/api/v1/auth/login"
KEYS = {"error", "message", "details", "statusCode", "path", "requestId"}


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


def check(response: Any, status: int, error: str) -> dict[str, Any]:
    assert response.status_code == status, response.content
    assert response["Content-Type"].startswith("application/json")
    body: dict[str, Any] = response.json()
    assert set(body) == KEYS
    assert (body["error"], body["statusCode"]) == (error, status)
    assert body["requestId"] == response["X-Request-ID"]
    if status != 400:
        assert body["details"] == []
    return body


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize(
    "path", ["/nothing", "/api/v1/nothing", "/api/v1", "/apix", "/auth/login/x", "/auth/login//"]
)
def test_an_unknown_route_is_called_so(client: Client, path: str, debug: bool) -> None:
    with override_settings(DEBUG=debug):
        assert check(client.get(path), 404, "Route not found")["path"] == path


@pytest.mark.parametrize("method", ["get", "put", "delete", "options", "trace"])
def test_a_method_that_the_route_lacks_is_405_with_allow(client: Client, method: str) -> None:
    response = getattr(client, method)(LOGIN)
    check(response, 405, "Method not allowed")
    assert response["Allow"] == "POST"


@pytest.mark.parametrize("prefix", ["/api/v1", ""])
@pytest.mark.parametrize("slash", ["", "/"])
def test_a_route_answers_at_both_addresses_with_and_without_a_slash(
    client: Client, prefix: str, slash: str
) -> None:
    response = client.post(f"{prefix}/auth/login{slash}", {}, content_type="application/json")
    assert check(response, 400, "Validation error")["path"] == f"{prefix}/auth/login{slash}"


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml",
     "application/jsonx", "application/json; charset=utf-16", "application/json; charset=bz2", ""],
)  # fmt: skip
def test_a_body_that_is_not_json_is_415(client: Client, content_type: str) -> None:
    check(client.generic("POST", LOGIN, b"a=1", content_type=content_type), 415, "Unsupported media type")


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/*;q=0.1", "nonsense"])
def test_every_accept_header_gets_json(client: Client, accept: str) -> None:
    check(client.get("/api/v1/auth/me", headers={"accept": accept}), 401, "Unauthorized")


HOSTILE = [
    b"{", b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}", b'{"email":NaN}', b'{"email":1e400}',
    b'{"email":' + b"9" * 5000 + b"}", b'{"email":"a\\u0000@b.c","password":"x"}',
    b'{"email":"\\ud800","password":"x"}', b'{"em\\u0000ail":"x"}', b"[" * 100_000,
    b'{"a":' * 900 + b"1" + b"}" * 900,
    b"null", b"[]", b'"x"', b"1", b"", b'{"email":{"a":1},"password":[]}',
    b'{"email":"x","password":"y","role":"admin"}',
]  # fmt: skip


@pytest.mark.parametrize("body", HOSTILE)
def test_a_hostile_body_is_400_with_a_field(client: Client, body: bytes) -> None:
    found = check(client.post(LOGIN, body, content_type="application/json"), 400, "Validation error")
    assert found["details"]
    assert all(set(entry) == {"field", "message"} and entry["message"] for entry in found["details"])


def test_of_duplicate_keys_the_last_counts(client: Client) -> None:
    body = b'{"email":1,"password":"x","email":"nobody@example.com"}'
    check(client.post(LOGIN, body, content_type="application/json"), 401, "Unauthorized")


def test_a_body_of_one_mebibyte_is_read_and_one_byte_more_is_not(client: Client) -> None:
    limit = 1024 * 1024
    head, tail = b'{"email":"nobody@example.com","password":"x","password":"', b'"}'
    full = head + b"x" * (limit - len(head) - len(tail)) + tail
    check(client.post(LOGIN, full, content_type="application/json"), 400, "Validation error")
    check(client.post(LOGIN, full + b" ", content_type="application/json"), 413, "Payload too large")


def test_a_body_too_large_is_413_on_any_route(client: Client) -> None:
    for path in ("/nothing", "/", LOGIN):
        check(client.post(path, b"x" * 3_000_000, content_type="text/plain"), 413, "Payload too large")


class Chunks(io.BytesIO):
    """A stream without a length, which counts what was taken."""


def chunked(body: bytes) -> Any:
    environ = {
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input": Chunks(body),
        "wsgi.input_terminated": True,
        "CONTENT_LENGTH": "",
    }
    return RequestFactory().post(LOGIN, content_type="application/json", **environ)  # type: ignore[arg-type]


def test_a_chunked_body_is_read() -> None:
    seen: list[bytes] = []

    def respond(request: Any) -> Any:
        seen.append(request.body)

    BodySizeMiddleware(respond)(chunked(b'{"a":1}'))
    assert seen == [b'{"a":1}']


def test_a_chunked_body_too_large_is_413_and_not_all_held() -> None:
    request = chunked(b"x" * 5_000_000)
    response = BodySizeMiddleware(lambda _: pytest.fail("must not be reached"))(request)
    assert response.status_code == 413


@pytest.mark.parametrize("given", ["abc-123", "a" * 100, "00-4bf92f3577b34da6a3ce929d0e0e4736-01"])
def test_a_sane_request_id_is_echoed(client: Client, given: str) -> None:
    assert client.get("/nothing", headers={"x-request-id": given})["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "a" * 101, "a b", "<script>", "a\tb", "ü"])
def test_another_request_id_is_replaced(client: Client, given: str) -> None:
    made = client.get("/nothing", headers={"x-request-id": given})["X-Request-ID"]
    assert str(uuid.UUID(made)) == made


def test_an_id_that_is_no_uuid_is_400_and_an_unknown_one_404(client: Client) -> None:
    user = User.objects.create_superuser("root@example.com", "password1")
    token = client.post(
        LOGIN, {"email": user.email, "password": "password1"}, content_type="application/json"
    ).json()["access_token"]
    headers = {"authorization": f"Bearer {token}"}
    for text in (
        "1",
        "x" * 500,
        "6f9619ff8b86d011b42d00c04fc964ff",
        "{6f9619ff-8b86-d011-b42d-00c04fc964ff}",
        "%00",
    ):
        body = check(client.delete(f"/api/v1/auth/tokens/{text}", headers=headers), 400, "Validation error")
        assert body["details"] == [{"field": "id", "message": "Must be a UUID"}]
    response = client.delete(f"/api/v1/auth/tokens/{uuid.uuid4()}", headers=headers)
    assert check(response, 404, "Token not found")["message"] == "Token not found"


@pytest.mark.parametrize("query", ["x=%00", "%00=1", "page=1&search=a%00b"])
def test_nul_in_the_query_is_400(client: Client, query: str) -> None:
    body = check(client.get(f"/api?{query}"), 400, "Validation error")
    assert body["details"][0]["message"] == "Must not contain a NUL character"


def test_a_host_that_is_not_ours_is_400_as_json(client: Client) -> None:
    check(client.get("/api/v1/auth/me", headers={"host": "evil.example"}), 400, "Validation error")


@pytest.mark.parametrize("debug", [True, False])
def test_a_crash_is_500_and_says_more_only_under_debug(
    client: Client, monkeypatch: pytest.MonkeyPatch, debug: bool
) -> None:
    def crash(*_: Any, **__: Any) -> None:
        raise RuntimeError("the secret cause")

    monkeypatch.setattr("accounts.api.views.log_in", crash)
    with override_settings(DEBUG=debug):
        body = {"email": "a@example.com", "password": "x"}
        response = client.post(LOGIN, body, content_type="application/json")
    found = check(response, 500, "Internal server error")
    assert ("the secret cause" in json.dumps(found)) is debug


def test_a_database_that_does_not_answer_is_503(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OperationalError("connection refused to 10.0.0.5")

    monkeypatch.setattr("accounts.api.views.log_in", fail)
    response = client.post(
        LOGIN, {"email": "a@example.com", "password": "x"}, content_type="application/json"
    )
    assert "10.0.0.5" not in json.dumps(check(response, 503, "Service unavailable"))


@pytest.mark.parametrize(
    ("cause", "status", "error"),
    [
        (errors.IdleInTransactionSessionTimeout, 503, "Service unavailable"),
        (errors.ReadOnlySqlTransaction, 503, "Service unavailable"),
        (errors.InFailedSqlTransaction, 500, "Internal server error"),
    ],
)
def test_what_the_server_of_the_database_ended_is_503_and_what_we_broke_is_500(
    client: Client, monkeypatch: pytest.MonkeyPatch, cause: type[Exception], status: int, error: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise InternalError("terminating connection") from cause("terminating connection")

    monkeypatch.setattr("accounts.api.views.log_in", fail)
    body = {"email": "a@example.com", "password": "x"}
    check(client.post(LOGIN, body, content_type="application/json"), status, error)


def test_the_admin_keeps_its_own_pages(client: Client) -> None:
    response = client.get("/admin/")
    assert response.status_code == 302
    assert client.get("/admin").headers["Location"] == "/admin/"
    page = client.get("/admin/login/")
    assert page.status_code == 200
    assert page["Content-Type"].startswith("text/html")


@override_settings(API_RATE_LIMIT="3/day")
def test_requests_above_the_rate_are_429_with_retry_after(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.api.throttle._local", LocalCounter())
    statuses = [client.get("/").status_code for _ in range(3)]
    assert statuses == [200, 200, 200]
    response = client.get("/")
    check(response, 429, "Too many requests")
    assert 0 < int(response["Retry-After"]) <= 86_400
    spoofed = client.get("/", headers={"x-forwarded-for": "198.51.100.7"})
    assert spoofed.status_code == 429
    refused = client.get("/api/v1/auth/me", headers={"authorization": "Bearer wrong"})
    assert refused.status_code == 429
    with override_settings(TRUSTED_PROXIES=1):
        assert client.get("/", headers={"x-forwarded-for": "198.51.100.7"}).status_code == 200


def test_a_page_of_an_allowed_origin_may_send_and_read_our_headers(client: Client) -> None:
    ask = {
        "origin": "https://app.example.com",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,idempotency-key,x-request-id",
    }
    with override_settings(CORS_ALLOWED_ORIGINS=["https://app.example.com"]):
        allowed = client.options("/api/v1/jobs", headers=ask)
        strange = client.options("/api/v1/jobs", headers=ask | {"origin": "https://evil.example"})
        answer = client.get("/health/live", headers={"origin": "https://app.example.com"})

    assert allowed.status_code == 200
    assert allowed["Access-Control-Allow-Origin"] == "https://app.example.com"
    names = {name.strip() for name in allowed["Access-Control-Allow-Headers"].lower().split(",")}
    assert names >= set(ask["access-control-request-headers"].split(","))
    assert not allowed.has_header("Access-Control-Allow-Credentials")
    assert not strange.has_header("Access-Control-Allow-Origin")
    assert "X-Total-Count" in answer["Access-Control-Expose-Headers"]
    assert not client.options("/api/v1/jobs", headers=ask).has_header("Access-Control-Allow-Origin")
