"""The API describes itself, without any outside host."""

from __future__ import annotations

import re

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from jobs import manifest

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/api", "/api/docs", "/docs", "/api/"])
def test_swagger_ui_is_served_from_here_and_fits_the_security_policy(client: Client, path: str) -> None:
    response = client.get(path)
    page = response.content.decode()
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/html")
    assert "unsafe" not in response["Content-Security-Policy"]
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=|https?://", page)
    sources = re.findall(r'(?:src|href)="/static/([^"]+)"', page)
    assert len(sources) == 5
    assert all(finders.find(source) for source in sources)


def test_the_form_of_a_file_of_jobs_has_an_address(client: Client) -> None:
    answer = client.get("/docs/jobs.schema.json")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/schema+json")
    assert answer.json() == manifest.schema()


@pytest.mark.parametrize("path", ["/api/schema", "/docs/openapi.json"])
def test_the_schema_is_openapi_3_with_canonical_paths_and_errors_everywhere(
    client: Client, path: str
) -> None:
    schema = client.get(path).json()
    assert schema["openapi"].startswith("3.")
    assert "/api/v1/auth/login" in schema["paths"]
    assert "/auth/login" not in schema["paths"]
    assert not [found for found in schema["paths"] if found.endswith("/")]
    for operations in schema["paths"].values():
        for operation in operations.values():
            assert {"400", "401", "403", "429", "500"} <= set(operation["responses"])
            assert "200" in operation["responses"] or {"201", "202", "204"} & set(operation["responses"])


def test_a_request_body_is_described_as_closed_and_its_description_has_a_version(client: Client) -> None:
    schema = client.get("/api/schema").json()
    assert schema["info"]["version"] == "1.0.0"
    assert schema["components"]["schemas"]["LoginRequest"]["additionalProperties"] is False
    assert "additionalProperties" not in schema["components"]["schemas"]["User"]


def test_the_schema_tells_apart_open_and_closed_routes(client: Client) -> None:
    paths = client.get("/api/schema").json()["paths"]
    assert paths["/api/v1/auth/login"]["post"]["security"] == [{}, {"bearer": []}]
    assert paths["/api/v1/auth/me"]["get"]["security"] == [{"bearer": []}]


def test_a_list_is_described_as_its_envelope(client: Client) -> None:
    schema = client.get("/api/schema").json()
    operation = schema["paths"]["/api/v1/users"]["get"]
    reference = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    envelope, bare = schema["components"]["schemas"][reference.rsplit("/", 1)[1]]["oneOf"]
    assert set(envelope["required"]) == {"users", "pagination", "total", "page", "limit"}
    assert bare["type"] == "array"
    assert {"page", "limit", "envelope"} <= {parameter["name"] for parameter in operation["parameters"]}


def test_the_first_page_shows_programs_the_way_and_sends_browsers_to_the_admin(client: Client) -> None:
    assert client.get("/").json() == {
        "message": "Batch and HTTP job scheduler",
        "version": "1.0.0",
        "documentation": "/api",
        "apiSpec": "/api/schema",
        "health": "/api/v1/health",
    }
    response = client.get("/", headers={"accept": "text/html,application/xhtml+xml"})
    assert (response.status_code, response["Location"]) == (302, "/admin/")
