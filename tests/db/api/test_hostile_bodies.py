"""Case 10 and 38: what no honest client sends, to every route that reads a body.

The answer is a 4xx in JSON, and nothing is stored. The same list runs on SQLite and on PostgreSQL, so the
verdict is the same on both.
"""

from __future__ import annotations

import json
import time
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from django.utils import timezone

from accounts.access_tokens import issue_token
from tests.db.api.estate import Estate, make_estate, make_shared, snapshot
from tests.routes import Route, find_routes
from web.api.documentation import read_schema

pytestmark = pytest.mark.django_db

MIB = 1024 * 1024
# These read any body: programs send what they have.
FORGIVING = ("/ping/", "/dummy")


def with_body() -> dict[str, tuple[Route, list[str]]]:
    """The routes that are described with a JSON body, and the text fields of that body."""
    document = read_schema()
    found = {}
    for route in find_routes():
        operation = document["paths"].get(route.path, {}).get(route.method, {})
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is None or route.path.startswith(FORGIVING):
            continue
        schema = document["components"]["schemas"][content["schema"]["$ref"].rsplit("/", 1)[1]]
        fields = [name for name, inner in schema["properties"].items() if inner.get("type") == "string"]
        found[str(route)] = (route, fields or list(schema["properties"]))
    return found


ROUTES = with_body()
DEEP = 100_000
# Whole bodies, whatever the route wants.
BODIES: dict[str, bytes] = {
    "half": b'{"name": "n"',
    "two": b"{} {}",
    "text": b'"name"',
    "list": b"[]",
    "null": b"null",
    "number": b"1",
    "single quotes": b"{'name': 'n'}",
    "trailing comma": b'{"name": "n",}',
    "a comment": b'{"name": "n"} // n',
    "NUL raw": b'{"name": "a\x00b"}',
    "NUL before": b'\x00{"name": "n"}',
    "NUL in a key": b'{"na\\u0000me": "n"}',
    "surrogate in a key": b'{"na\\ud800me": "n"}',
    "bad UTF-8": b'{"name": "\xff\xfe"}',
    "overlong UTF-8": b'{"name": "\xc0\x80"}',
    "surrogate in UTF-8": b'{"name": "\xed\xa0\x80"}',
    "UTF-16": '{"name": "n"}'.encode("utf-16"),
    "UTF-16 without mark": '{"name": "n"}'.encode("utf-16-le"),
    "UTF-32": '{"name": "n"}'.encode("utf-32"),
    "byte order mark": b'\xef\xbb\xbf{"name": "n"}',
    "latin-1": '{"name": "ä"}'.encode("latin-1"),
    "deep lists": b'{"name": ' + b"[" * 900 + b"]" * 900 + b"}",
    "deep objects": b'{"a":' * 900 + b"1" + b"}" * 900,
    "bottomless": b"[" * DEEP,
    "bottomless closed": b"[" * DEEP + b"]" * DEEP,
    "form": b"name=n&schedule=x",
}
# Values for one field, as they stand in the body.
VALUES: dict[str, str] = {
    "NUL": '"a\\u0000b"',
    "only NUL": '"\\u0000"',
    "high surrogate": '"\\ud800"',
    "low surrogate": '"a\\udfffb"',
    "surrogates in the wrong order": '"\\udc00\\ud800"',
    "NaN": "NaN",
    "Infinity": "Infinity",
    "-Infinity": "-Infinity",
    "1e400": "1e400",
    "-1e400": "-1e400",
    "5,000 digits": "9" * 5000,
    "minus 5,000 digits": "-" + "9" * 5000,
    "200,000 digits": "1" * 200_000,
    "digits after the point": "0." + "1" * 5000,
    "huge exponent": "1e99999999999",
    "deep": "[" * 40 + "]" * 40,
    "900 KB": json.dumps("x" * 900_000),
}


class Sender:
    """Sends bytes as they are."""

    def __init__(self, estate: Estate) -> None:
        self.client = Client(raise_request_exception=False)
        self.headers = {"authorization": f"Bearer {issue_token(estate.user, now=timezone.now())}"}
        self.estate = estate

    def __call__(self, route: Route, body: bytes, content_type: str = "application/json") -> Any:
        return self.client.generic(
            route.method.upper(),
            self.address(route.path),
            body,
            content_type=content_type,
            headers=self.headers,
        )

    def address(self, path: str) -> str:
        names = {"queues": "default", "calendars": "office"}
        kind = path.removeprefix("/api/v1/").partition("/")[0]
        words = {"jobs": "job", "dlq": "letter", "alerts": "alert", "tags": "tag", "users": "user"}
        filled = path.replace("{name}", names.get(kind, ""))
        return filled.replace("{id}", self.estate.ids[words.get(kind, "job")])


@pytest.fixture
def send(tmp_path: Path, settings: Any) -> Sender:
    settings.EXPORT_DIRECTORY = tmp_path / "exports"
    settings.REGISTRATION_OPEN = True
    make_shared()
    return Sender(make_estate(settings.EXPORT_DIRECTORY, is_staff=True, is_superuser=True))


def is_refused(response: Any) -> bool:
    """A 4xx with the one body."""
    if not 400 <= response.status_code < 500 or response["Content-Type"] != "application/json":
        return False
    body = json.loads(response.content)
    return body["statusCode"] == response.status_code and {"error", "message", "details", "requestId"} <= set(
        body
    )


def test_the_list_covers_every_route_with_a_body() -> None:
    assert len(ROUTES) > 25


@pytest.mark.parametrize("name", ROUTES)
def test_a_hostile_body_is_refused_and_nothing_is_stored(send: Sender, name: str) -> None:
    route, _fields = ROUTES[name]
    before = snapshot()
    wrong = {}

    for kind, body in BODIES.items():
        response = send(route, body)
        if not is_refused(response):
            wrong[kind] = (response.status_code, response.content[:200])

    assert wrong == {}
    assert snapshot() == before


@pytest.mark.parametrize("name", ROUTES)
def test_a_hostile_value_is_refused_and_nothing_is_stored(send: Sender, name: str) -> None:
    route, fields = ROUTES[name]
    before = snapshot()
    wrong = {}

    for field in fields[:4]:
        for kind, value in VALUES.items():
            response = send(route, f'{{"{field}": {value}}}'.encode())
            if not is_refused(response):
                wrong[field, kind] = (response.status_code, response.content[:200])

    assert wrong == {}
    assert snapshot() == before


@pytest.mark.parametrize("kind", ["text/plain", "text/xml", "multipart/form-data; boundary=x", "", "garbage"])
def test_another_kind_of_body_is_415(send: Sender, kind: str) -> None:
    for route, _fields in ROUTES.values():
        response = send(route, b'{"name": "n"}', kind)
        assert (response.status_code, is_refused(response)) == (415, True), str(route)


@pytest.mark.parametrize("charset", ["utf-16", "latin-1", "utf-7", "no-such-thing", "'", "a" * 500])
def test_another_charset_is_415(send: Sender, charset: str) -> None:
    route, _fields = ROUTES["POST /api/v1/tags"]
    response = send(route, b'{"name": "n"}', f"application/json; charset={charset}")
    assert (response.status_code, is_refused(response)) == (415, True)


@pytest.mark.parametrize("size", [MIB + 1, 3 * MIB])
def test_a_body_above_the_limit_is_413_on_every_route(send: Sender, size: int) -> None:
    body = b'{"name": "' + b"x" * (size - 12) + b'"}'
    before = snapshot()
    for route, _fields in ROUTES.values():
        response = send(route, body)
        assert (response.status_code, is_refused(response)) == (413, True), str(route)
    assert snapshot() == before


def test_a_declared_hundred_megabytes_are_refused_without_being_read(send: Sender) -> None:
    class Stream(BytesIO):
        taken = 0

        def read(self, size: int | None = -1) -> bytes:
            part = super().read(64 * 1024 if size is None or size < 0 else size)
            Stream.taken += len(part)
            return part

    started = time.monotonic()
    declared: Any = {"CONTENT_LENGTH": str(100 * MIB), "wsgi.input": Stream(b"x" * 2 * MIB)}
    response = send.client.generic(
        "POST", "/api/v1/jobs", b"", content_type="application/json", headers=send.headers, **declared
    )
    assert (response.status_code, is_refused(response)) == (413, True)
    assert time.monotonic() - started < 5
    assert Stream.taken <= 2 * MIB


def test_of_duplicate_keys_the_last_counts(send: Sender) -> None:
    route, _fields = ROUTES["POST /api/v1/tags"]
    response = send(route, b'{"name": "first", "name": "last"}')
    assert response.json()["name"] == "last"


@pytest.mark.parametrize(
    "moment",
    [
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "9999-12-31T23:59:59.999999999Z",
        "10000-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "2026-02-30T00:00:00Z",
        "2026-01-01T00:00:00+99:99",
        "2026-01-01T25:00:00Z",
        "infinity",
        "-infinity",
        "now",
        "epoch",
        "1e9",
        "",
        "\uff12026-01-01T00:00:00Z",
    ],
)
def test_a_time_that_no_database_keeps_is_400(send: Sender, moment: str) -> None:
    before = snapshot()
    for name, body in {
        "POST /api/v1/jobs": {"name": "n", "type": "one_time", "scheduledAt": moment},
        "POST /api/v1/jobs/{id}/reschedule": {"scheduledAt": moment},
        "POST /api/v1/jobs/{id}/pause": {"until": moment},
        "POST /api/v1/jobs/{id}/backfill": {"from": moment, "to": "2026-01-02T00:00:00Z"},
        "POST /api/v1/auth/tokens": {"name": "n", "expiresAt": moment},
        "POST /api/v1/schedules/preview": {"schedule": "* * * * *", "from": moment},
        "PATCH /api/v1/jobs/{id}": {"startAt": moment},
    }.items():
        response = send(ROUTES[name][0], json.dumps(body).encode())
        assert (response.status_code, is_refused(response)) == (400, True), (name, response.content)
    for query in (
        "jobs?fromDate=",
        "executions?toDate=",
        "jobs/{job}/explain?at=",
        "jobs/{job}/preview?from=",
    ):
        if moment:
            path = f"/api/v1/{send.estate.fill(query)}"
            response = send.client.get(f"{path}{quote(moment)}", headers=send.headers)
            assert (response.status_code, is_refused(response)) == (400, True), (path, response.content)
    assert snapshot() == before


LISTS = (
    "jobs",
    "executions",
    "dlq",
    "alerts",
    "tags",
    "reports",
    "calendars",
    "queues",
    "users",
    "auth/tokens",
)


@pytest.mark.parametrize("path", LISTS)
def test_a_query_that_no_honest_client_sends_is_4xx_or_finds_nothing(send: Sender, path: str) -> None:
    refused = (
        "limit=1000000000",
        "limit=0",
        "limit=-1",
        "limit=1e9",
        "page=0",
        "page=-1",
        "page=" + "9" * 5000,
    )
    for query in refused:
        response = send.client.get(f"/api/v1/{path}?{query}", headers=send.headers)
        assert (response.status_code, is_refused(response)) == (400, True), query
    odd = ("page=1000000000", "search=%25%5F%5C", "search=%27%3B--", "search=" + "(" * 200, "a[b][c]=1")
    for query in odd:
        response = send.client.get(f"/api/v1/{path}?{query}", headers=send.headers)
        assert response.status_code == 200, (query, response.content)
    for query in ("search=%00", "x%00=1", "status=%00"):
        response = send.client.get(f"/api/v1/{path}?{query}", headers=send.headers)
        assert (response.status_code, is_refused(response)) == (400, True), query
    # Bytes that are no UTF-8 become replacement characters, which nothing is called.
    response = send.client.get(f"/api/v1/{path}?search=%ff%fe&tag=%ed%a0%80", headers=send.headers)
    assert response.status_code in (200, 400), response.content


@pytest.mark.parametrize(
    "key",
    [
        "0",
        "-1",
        "1",
        "None",
        "%00",
        "%ff",
        "..%2f..%2fetc",
        "6f9619ff8b86d011b42d00c04fc964ff",
        "{6f9619ff-8b86-d011-b42d-00c04fc964ff}",
        "urn:uuid:6f9619ff-8b86-d011-b42d-00c04fc964ff",
        "6f9619ff-8b86-d011-b42d-00c04fc964f",
        "6f9619ff-8b86-d011-b42d-00c04fc964ff%20",
        "\uff16f9619ff-8b86-d011-b42d-00c04fc964ff",
        "x" * 5000,
    ],
)
def test_what_is_no_id_is_400_on_every_address(send: Sender, key: str) -> None:
    for route in find_routes():
        if "{id}" not in route.path or route.path.startswith("/ping"):
            continue
        path = route.path.replace("{id}", key).replace("{dependsOnJobId}", send.estate.ids["first"])
        response = send.client.generic(
            route.method.upper(), path, b"", content_type="application/json", headers=send.headers
        )
        # A slash inside makes another address.
        expected = (400, 404) if "%2f" in key else (400,)
        assert response.status_code in expected, (str(route), response.content)
        assert is_refused(response)


def test_a_forged_forwarding_does_not_get_around_the_limit(send: Sender, settings: Any) -> None:
    settings.API_RATE_LIMIT = "5/day"
    answers = [
        Client().get(
            "/api/v1/health", headers={"x-forwarded-for": f"10.0.0.{number}"}, REMOTE_ADDR="192.0.2.77"
        )
        for number in range(8)
    ]
    statuses = [response.status_code for response in answers]
    assert statuses == [200] * 5 + [429] * 3
    assert int(answers[-1]["Retry-After"]) > 0
