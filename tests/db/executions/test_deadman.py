"""Our own dead-man's switch speaks while work goes on, and is silent otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from executions import deadman
from executions.engine import clock
from executions.engine.duty import duties
from tests.db.executions.world import make_instance
from tests.e2e.http_targets import HttpTarget
from tests.factories import make_execution, make_job

pytestmark = pytest.mark.django_db


@pytest.fixture
def target(settings: Any) -> Iterator[HttpTarget]:
    with HttpTarget() as target:
        settings.HTTP_ALLOWED_CIDRS = ["127.0.0.0/8"]
        settings.HEARTBEAT_URL = target.url("/ok")
        yield target


def test_a_live_scheduler_is_heard(target: HttpTarget) -> None:
    now = clock.now()
    make_instance(at=now)
    assert deadman.ping(now)
    (request,) = target.requests
    assert (request.method, request.body) == ("GET", b"")


def test_no_scheduler_is_not_heard(target: HttpTarget) -> None:
    now = clock.now()
    make_instance(at=now, role="worker")
    make_instance(at=now - timedelta(hours=1))
    assert not deadman.ping(now)
    assert target.requests == []


def test_one_that_stands_still_is_not_heard(target: HttpTarget) -> None:
    now = clock.now()
    make_instance(at=now)
    make_execution(make_job(), next_attempt_at=now - timedelta(minutes=10))
    assert not deadman.ping(now)
    assert target.requests == []


def test_a_refused_address_and_a_bad_answer_are_logged_not_raised(
    target: HttpTarget, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    now = clock.now()
    make_instance(at=now)
    settings.HEARTBEAT_URL = target.url("/status/500/secret-path")
    assert not deadman.ping(now)
    settings.HTTP_ALLOWED_CIDRS = []
    assert not deadman.ping(now)
    assert "HTTP_ALLOWED_CIDRS" in caplog.text
    assert "secret-path" not in caplog.text


def test_without_an_address_nothing_is_called(settings: Any) -> None:
    settings.HEARTBEAT_URL = ""
    assert not deadman.ping(clock.now())


def test_it_rides_in_the_loop_but_calls_from_outside_it() -> None:
    (entry,) = [one for one in duties if one.name.endswith("send_heartbeat")]
    assert (entry.outside, entry.every) == (True, timedelta(minutes=1))
