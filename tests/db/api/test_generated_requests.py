"""Requests made from the published description: none is met by a server error, or by an answer that the
description does not know.

Every operation gets requests that fit its description and requests that do not, with ids of things that
exist and of things that do not. Each is undone, so that the order decides nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test
from schemathesis import checks
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks as openapi

from accounts.access_tokens import issue_token
from tests.db.api.estate import Estate, make_estate, make_shared
from web.api.documentation import read_schema

pytestmark = pytest.mark.django_db

EXAMPLES = 26  # for each of the 88 operations
CHECKS = (
    checks.not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_headers_conformance,
    openapi.response_schema_conformance,
    openapi.negative_data_rejection,
    openapi.unsupported_method,
    openapi.ignored_auth,
)
STORIES = 40
STORY_CHECKS = (*CHECKS[:5], openapi.use_after_free, openapi.ensure_resource_availability)
# Where a request that does not fit its description is right all the same: these read any body.
FORGIVING = ("/ping/{id}", "/ping/{id}/{signal}", "/dummy")
# What a request that fits its description can still break, in words that a description has no form for: fields
# that contradict each other, names of things that do not exist, days that are in no calendar, times gone by.
KNOWING = {
    "GET /api/v1/jobs",
    "GET /api/v1/executions",
    "GET /api/v1/jobs/{id}/executions",
    "GET /api/v1/jobs/{id}/explain",
    "GET /api/v1/jobs/{id}/preview",
    "GET /ping/{id}/{signal}",
}
# An address is met with a thing that exists, mostly.
WORDS = {
    "/jobs/{id}": "job",
    "/metrics/jobs/{id}": "job",
    "/executions/{id}": "execution",
    "/dlq/requeues/{id}": "requeue",
    "/dlq/{id}": "letter",
    "/alerts/{id}": "alert",
    "/tags/{id}": "tag",
    "/reports/{id}": "report",
    "/auth/tokens/{id}": "token",
    "/users/{id}": "user",
    "/ping/{id}": "job",
}

document = schemathesis.openapi.from_dict(json.loads(json.dumps(read_schema(), default=str)))
# Unknown parameters are nobody's business, and every request has its token.
document.config.generation.update(allow_extra_parameters=False, with_security_parameters=False)
document.config.checks.negative_data_rejection.expected_statuses = ["4xx"]
document.app = get_wsgi_application()
OPERATIONS = {
    f"{operation.method.upper()} {operation.path}": operation
    for operation in (cast("Any", result).ok() for result in document.get_all_operations())
}


@contextmanager
def undone() -> Iterator[None]:
    """What is done inside is taken back."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture(autouse=True)
def _one_connection() -> Iterator[None]:
    """Requests use the connection of the test, as those of Django's own client do."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture
def ada(tmp_path: Path, settings: Any) -> Estate:
    settings.EXPORT_DIRECTORY = tmp_path / "exports"
    settings.REGISTRATION_OPEN = True
    settings.API_RATE_LIMIT = "1000000/min"
    make_shared()
    return make_estate(settings.EXPORT_DIRECTORY, is_staff=True, is_superuser=True)


def address_of(operation: Any, estate: Estate) -> dict[str, str]:
    """Names and ids of things that exist, for the address of this operation."""
    path = operation.path.removeprefix("/api/v1")
    names = {"queues": "default", "calendars": "office"}
    found = {
        "name": names.get(path.split("/")[1], ""),
        "signal": "start",
        "dependsOnJobId": estate.ids["first"],
    }
    for beginning, word in WORDS.items():
        if path.startswith(beginning):
            found["id"] = estate.ids[word]
    return found


def requests_of(operation: Any, existing: dict[str, str]) -> st.SearchStrategy[Any]:
    """Requests of which most fit the description, and most are about a thing that exists."""
    address = {name: existing[name] for name in operation.path_parameters.schema["properties"]}
    given = {"path_parameters": address} if address else {}
    fitting = operation.as_strategy(generation_mode=GenerationMode.POSITIVE, **given)
    elsewhere = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if not operation.body and not operation.query:
        return st.one_of(fitting, elsewhere)
    broken = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE, headers={}, **given)
    return st.one_of(fitting, fitting, elsewhere, broken)


def chosen(name: str) -> list[Any]:
    """The checks for this operation."""
    method, _, path = name.partition(" ")
    found = [one for one in CHECKS if one is not openapi.negative_data_rejection or path not in FORGIVING]
    describes_all = method == "GET" and name not in KNOWING
    return [*found, openapi.positive_data_acceptance] if describes_all else found


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_generated_request_is_met_by_a_server_error_or_an_unknown_answer(ada: Estate, name: str) -> None:
    operation = OPERATIONS[name]
    existing = address_of(operation, ada)
    headers = {"Authorization": f"Bearer {issue_token(ada.user, now=timezone.now())}"}

    @hypothesis_settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=requests_of(operation, existing))
    def play(case: Any) -> None:
        with undone():
            response = case.call(headers=headers)
            case.validate_response(response, checks=chosen(name), headers=headers)

    play()


def test_no_generated_story_is_met_by_a_server_error_or_an_unknown_answer(ada: Estate) -> None:
    """What one request makes, the next ones ask for, change and delete."""
    headers = {"Authorization": f"Bearer {issue_token(ada.user, now=timezone.now())}"}

    class Story(document.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            self.point = transaction.savepoint()

        def teardown(self) -> None:
            transaction.savepoint_rollback(self.point)

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": headers}

        def validate_response(self, response: Any, case: Any, **options: Any) -> None:
            case.validate_response(response, checks=[*STORY_CHECKS], headers=headers)

    run_state_machine_as_test(
        Story,
        settings=hypothesis_settings(
            max_examples=STORIES,
            stateful_step_count=8,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
