"""Which exception becomes which answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.core import exceptions as django_errors
from django.db import IntegrityError, InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions as rest_errors

from web import errors
from web.api.answers import answer_exception

CONTEXT = {"view": SimpleNamespace(noun="Job", allowed_methods=["GET", "PUT"]), "request": None}


@pytest.mark.parametrize(
    ("exception", "status", "error"),
    [
        (errors.NotFound("Execution"), 404, "Execution not found"),
        (errors.Conflict("Cannot trigger inactive job"), 409, "Conflict"),
        (errors.Forbidden("no"), 403, "Forbidden"),
        (errors.Unavailable("no"), 503, "Service unavailable"),
        (errors.TooManyRequests("no", wait=3), 429, "Too many requests"),
        (errors.Unauthorized("no"), 401, "Unauthorized"),
        (Http404(), 404, "Job not found"),
        (django_errors.ObjectDoesNotExist(), 404, "Job not found"),
        (django_errors.PermissionDenied(), 403, "Forbidden"),
        (django_errors.RequestDataTooBig(), 413, "Payload too large"),
        (OperationalError("host 10.0.0.5"), 503, "Service unavailable"),
        (InterfaceError("host 10.0.0.5"), 503, "Service unavailable"),
        (rest_errors.MethodNotAllowed("POST"), 405, "Method not allowed"),
        (rest_errors.UnsupportedMediaType("x/y"), 415, "Unsupported media type"),
        (rest_errors.Throttled(2.5), 429, "Too many requests"),
        (rest_errors.NotAuthenticated(), 401, "Unauthorized"),
    ],
)
def test_every_refusal_has_its_status_and_word(exception: Exception, status: int, error: str) -> None:
    response = answer_exception(exception, CONTEXT)
    assert response is not None
    body: Any = response.data
    assert (response.status_code, body["error"], body["statusCode"]) == (status, error, status)
    assert body["details"] == []
    assert "10.0.0.5" not in str(body)


def test_headers_that_the_status_needs_are_there() -> None:
    headers = [
        answer_exception(exception, CONTEXT).headers  # type: ignore[union-attr]
        for exception in (
            errors.Unauthorized("no"),
            errors.TooManyRequests("no", wait=3),
            rest_errors.MethodNotAllowed("POST"),
        )
    ]
    assert headers[0]["WWW-Authenticate"] == "Bearer"
    assert headers[1]["Retry-After"] == "3"
    assert headers[2]["Allow"] == "GET, PUT"


@pytest.mark.parametrize(
    ("exception", "details"),
    [
        (errors.Invalid({"a": "Required", "b.c": "Bad"}), {"a": "Required", "b.c": "Bad"}),
        (django_errors.ValidationError({"name": ["Too long"]}), {"name": "Too long"}),
        (django_errors.ValidationError("Bad"), {"body": "Bad"}),
        (rest_errors.ValidationError({"a": {"b": ["Bad"]}}), {"a.b": "Bad"}),
        (rest_errors.ParseError("Bad"), {"body": "Bad"}),
    ],
)
def test_bad_input_is_told_field_by_field(exception: Exception, details: dict[str, str]) -> None:
    response = answer_exception(exception, CONTEXT)
    assert response is not None
    body: Any = response.data
    assert (body["statusCode"], body["error"]) == (400, "Validation error")
    assert {entry["field"]: entry["message"] for entry in body["details"]} == details


def test_details_are_bounded() -> None:
    response = answer_exception(errors.Invalid({str(number): "Bad" for number in range(5000)}), CONTEXT)
    assert response is not None
    body: Any = response.data
    assert len(body["details"]) == 100


@pytest.mark.parametrize("exception", [RuntimeError("x"), IntegrityError("x"), KeyError("x")])
def test_a_defect_is_not_taken_for_a_refusal(exception: Exception) -> None:
    assert answer_exception(exception, CONTEXT) is None
