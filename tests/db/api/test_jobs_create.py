"""POST /jobs."""

from __future__ import annotations

import pytest

from tests.db.accounts.people import Caller, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Caller:
    return Caller(make_user())


def test_an_http_job_needs_only_schedule_and_address(ada: Caller) -> None:
    response = ada(
        "post", "/jobs", {"schedule": "0 9 * * *", "api": "https://example.com/x", "type": "ATLEAST_ONCE"}
    )
    body = response.json()
    assert response.status_code == 201, body
    assert body["jobId"] == body["id"]
    assert response["Location"] == f"/api/v1/jobs/{body['id']}"
    assert body["name"] == f"job-{body['id'][:8]}"
