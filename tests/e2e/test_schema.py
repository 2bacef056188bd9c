"""The description of the API is whole, without a warning, and the committed one is that of the code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from drf_spectacular.validation import validate_schema

from docs import reference
from tests.routes import METHODS, find_routes
from web.api.documentation import DocumentationView, read_schema
from web.moments import MOMENT_PATTERN, parse_moment

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"


def described() -> dict[str, dict[str, Any]]:
    """The operations of the schema as `METHOD path`."""
    return {
        f"{method.upper()} {path}": operation
        for path, operations in read_schema()["paths"].items()
        for method, operation in operations.items()
        if method in METHODS
    }


def test_the_committed_description_is_that_of_the_code() -> None:
    made = json.loads(json.dumps(read_schema(), default=str))

    assert json.loads(COMMITTED.read_text(encoding="utf-8")) == made, "run `make schema`"


def test_the_pages_of_reference_are_those_of_the_code() -> None:
    api = reference.write_api(json.loads(COMMITTED.read_text(encoding="utf-8")))

    assert (COMMITTED.parent / "api.md").read_text(encoding="utf-8") == api, "run `make schema`"
    commands = (COMMITTED.parent / "commands.md").read_text(encoding="utf-8")
    assert commands == reference.write_commands(), "run `make schema`"


def test_the_description_is_made_without_a_warning_and_is_valid(tmp_path: Path) -> None:
    call_command("spectacular", "--fail-on-warn", "--file", str(tmp_path / "schema.yaml"))

    validate_schema(read_schema())  # type: ignore[no-untyped-call]  # type: ignore[no-untyped-call]


def test_every_route_is_described_and_nothing_else() -> None:
    routes = {str(route) for route in find_routes() if not issubclass(route.view, DocumentationView)}

    assert len(routes) > 80
    assert set(described()) == routes


def test_every_operation_has_words_a_name_of_its_own_and_a_described_answer() -> None:
    operations = described()
    names = [operation["operationId"] for operation in operations.values()]
    assert len(set(names)) == len(names)
    for name, operation in operations.items():
        assert operation["description"], name
        good = {status: answer for status, answer in operation["responses"].items() if status < "300"}
        assert good, name
        assert all(status == "204" or "content" in answer for status, answer in good.items()), name


def test_every_body_is_described_with_its_type_and_closed() -> None:
    schemas = read_schema()["components"]["schemas"]
    for name, operation in described().items():
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            if not name.partition(" ")[2].startswith("/api/v1"):
                continue
            assert kind == "application/json", name
            schema = schemas[content["schema"]["$ref"].rsplit("/", 1)[1]]
            assert schema["additionalProperties"] is False, name


def test_every_error_has_the_one_body() -> None:
    document = read_schema()
    for name, operation in described().items():
        for status, answer in operation["responses"].items():
            if status < "400" or status == "503":
                continue
            answer = document["components"]["responses"][answer["$ref"].rsplit("/", 1)[1]]
            assert answer["content"]["application/json"]["schema"]["$ref"].endswith("/Error"), name


def test_every_reference_leads_somewhere() -> None:
    document = read_schema()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                target: Any = document
                for part in value["$ref"].removeprefix("#/").split("/"):
                    target = target[part]
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(document)


def test_what_may_be_sent_twice_says_so_and_what_a_time_looks_like_is_said() -> None:
    operations = described()

    def parameters(name: str) -> dict[str, Any]:
        return {one["name"]: one["schema"] for one in operations[name].get("parameters", [])}

    once = {name for name in operations if "Idempotency-Key" in parameters(name)}
    assert once == {
        "POST /api/v1/jobs",
        "POST /api/v1/jobs/{id}/trigger",
        "POST /api/v1/jobs/{id}/backfill",
    }
    times = {"fromDate", "toDate", "from", "to", "at"}
    for name in operations:
        for parameter, schema in parameters(name).items():
            if parameter in times:
                assert re.match(schema["pattern"], "2026-01-20T10:00:00Z"), name
                assert not re.match(schema["pattern"], "1969-01-01T00:00:00Z"), name


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-20T10:00:00Z",
        "1970-01-01 00:00",
        "9998-12-31t23:59:59.123456789z",
        "2026-01-20T10:00:00+05:30",
    ],
)
def test_the_described_form_of_a_time_is_the_one_that_is_read(text: str) -> None:
    assert re.fullmatch(MOMENT_PATTERN, text)
    parse_moment(text)


@pytest.mark.parametrize(
    "text",
    ["1969-12-31T00:00Z", "9999-01-01T00:00Z", "2026-13-01T00:00Z", "2026-01-01", "2026-01-01T24:00Z", ""],
)
def test_what_is_not_read_is_not_described_either(text: str) -> None:
    assert not re.fullmatch(MOMENT_PATTERN, text)
    with pytest.raises(ValueError, match=r"Must be|Is not"):
        parse_moment(text)
