"""The doorbell rings for what the claim would take, once, and again where a bell was lost."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from executions.engine import doorbell
from executions.engine.doorbell import LEAST_AHEAD, PACE, TRY_AGAIN, Doorbell
from executions.engine.inbox import Inbox
from executions.engine.loop import Engine
from executions.engine.ring import Ring
from executions.models import Execution, Status
from jobs.models import Dependency, Job, JobTag, Queue, Tag
from tests import factories
from tests.db.executions.world import NOW, make_execution, make_instance, make_job
from tests.e2e.engines import wait_for

SECOND = timedelta(seconds=1)
LATER = NOW + timedelta(seconds=40)


class Recorder:
    """A line that writes down what is sent, or fails; `count` is what the broker says it holds."""

    def __init__(self) -> None:
        self.sent: list[Ring] = []
        self.broken = False
        self.holds = 0
        self.tries = 0

    def send(self, rings: Sequence[Ring]) -> None:
        self.tries += 1
        if self.broken:
            raise ConnectionRefusedError("nobody there")
        self.sent += rings

    def count(self, queue: str) -> int:
        return self.holds

    def taken(self) -> list[uuid.UUID]:
        """What was sent since the last look."""
        sent, self.sent = self.sent, []
        return [ring.execution_id for ring in sent]


@pytest.fixture
def line() -> Recorder:
    return Recorder()


@pytest.fixture
def bell(line: Recorder) -> Iterator[Doorbell]:
    made = Doorbell(line, idle=SECOND)
    yield made
    made.close()


def ring(bell: Doorbell, now: datetime = NOW) -> float:
    wait = bell.ring_due(now)
    assert wait_for(lambda: not bell.busy)
    return wait


def make_due(job: Job | None = None, **fields: Any) -> Execution:
    return make_execution(job, **{"next_attempt_at": NOW - SECOND} | fields)


pytestmark = pytest.mark.django_db


def test_a_bell_is_rung_once_for_what_is_due(bell: Doorbell, line: Recorder) -> None:
    due = make_due()
    make_execution(next_attempt_at=NOW + SECOND)
    make_execution(status=Status.SUCCESS)
    assert ring(bell) == PACE
    assert line.taken() == [due.id]
    assert ring(bell) > PACE, "with nothing new to say it looks less often"
    assert line.taken() == []


def test_what_limits_and_switches_hold_back_has_no_bell(bell: Doorbell, line: Recorder) -> None:
    one_at_a_time = make_job()
    first, second = make_due(one_at_a_time), make_due(one_at_a_time)
    busy = make_job()
    make_execution(busy, status=Status.RUNNING)
    make_due(busy)
    make_due(make_job(state="paused"))
    Queue.objects.create(name="slow", paused=True)
    make_due(queue="slow")
    waits, other = make_job(), make_job()
    Dependency.objects.create(job=waits, depends_on=other)
    make_due(waits, scheduled_at=NOW)
    tag = Tag.objects.create(name="mail", max_concurrent=1)
    mails = [make_due() for _ in range(2)]
    for mail in mails:
        JobTag.objects.create(job=mail.job, tag=tag)
    ring(bell)
    assert sorted(line.taken()) == sorted([first.id, mails[0].id])
    Execution.objects.filter(id=first.id).update(status=Status.CANCELLED)
    ring(bell)
    assert line.taken() == [second.id]


def test_more_bells_are_out_the_more_slots_there_are(bell: Doorbell, line: Recorder) -> None:
    job = make_job(max_concurrent_executions=100, overlap_policy="allow")
    rows = [make_due(job, priority=number % 10) for number in range(60)]
    ring(bell)
    sent = line.taken()
    assert len(sent) == LEAST_AHEAD
    assert {row.priority for row in rows if row.id in sent} == {6, 7, 8, 9}, "what comes first is rung first"
    make_instance(role="worker", concurrency=5)
    crowd = Doorbell(line, idle=SECOND)
    ring(crowd)
    crowd.close()
    assert len(line.taken()) == 5 * doorbell.AHEAD - LEAST_AHEAD


def test_a_long_row_of_what_may_not_start_hides_nothing_behind_it(bell: Doorbell, line: Recorder) -> None:
    busy = make_job()
    make_execution(busy, status=Status.RUNNING)
    for _ in range(LEAST_AHEAD + doorbell.BEYOND + 5):
        make_due(busy, priority=9)
    behind = make_due(priority=0)
    ring(bell)
    assert line.taken() == [behind.id]


def test_a_ring_says_how_to_carry_it(bell: Doorbell, line: Recorder) -> None:
    due = make_due(make_job(timeout_ms=5000), queue="reports", priority=7, attempt=2)
    ring(bell)
    assert line.sent == [Ring(execution_id=due.id, attempt=2, queue="reports", priority=7, timeout_ms=5000)]


def test_the_next_attempt_has_a_bell_of_its_own(bell: Doorbell, line: Recorder) -> None:
    due = make_due()
    ring(bell)
    Execution.objects.filter(id=due.id).update(attempt=1, status=Status.RETRYING)
    ring(bell)
    assert line.taken() == [due.id, due.id]


def test_a_broker_that_does_not_answer_costs_nothing_but_time(
    bell: Doorbell, line: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    due = make_due()
    line.broken = True
    with caplog.at_level(logging.ERROR, logger="executions"):
        ring(bell)
        assert Execution.objects.get(id=due.id).rung_at == NOW
        for _ in range(3):
            assert ring(bell) == TRY_AGAIN
    assert [record.getMessage() for record in caplog.records] == ["the broker does not answer: nobody there"]
    assert Execution.objects.get(id=due.id).rung_at is None, "what nobody heard is not marked as rung"
    line.broken = False
    ring(bell)
    assert line.taken() == []
    ring(bell)
    assert line.taken() == [due.id]


def test_after_an_outage_every_bell_is_rung_anew(bell: Doorbell, line: Recorder) -> None:
    before = make_due()
    ring(bell)
    line.broken = True
    during = make_due()
    ring(bell)
    line.broken = False
    for _ in range(2):
        ring(bell)
    assert sorted(line.taken()[1:]) == sorted([before.id, during.id])


def test_a_bell_that_the_broker_lost_is_rung_again(bell: Doorbell, line: Recorder) -> None:
    due = make_due()
    ring(bell)
    ring(bell, NOW + timedelta(seconds=29))
    assert line.taken() == [due.id]
    ring(bell, LATER)
    assert line.taken() == [due.id]
    ring(bell, LATER + SECOND)
    assert line.taken() == []


def test_a_bell_that_merely_waits_in_the_broker_is_not_rung_again(bell: Doorbell, line: Recorder) -> None:
    make_due()
    ring(bell)
    line.taken()
    line.holds = 1
    ring(bell, LATER)
    assert line.taken() == []
    line.holds = 0
    ring(bell, LATER + timedelta(seconds=31))
    assert len(line.taken()) == 1


def test_only_the_bell_of_this_attempt_is_put_back(bell: Doorbell) -> None:
    due = make_due(attempt=3)
    ring(bell)
    doorbell.take_back([Ring(execution_id=due.id, attempt=2)])
    assert Execution.objects.get(id=due.id).rung_at == NOW
    doorbell.take_back([Ring(execution_id=due.id, attempt=3)])
    assert Execution.objects.get(id=due.id).rung_at is None


def test_of_two_schedulers_one_rings(bell: Doorbell, line: Recorder) -> None:
    make_due()
    seen = doorbell.find_startable(NOW, size=5)
    ring(bell)
    assert doorbell.mark(seen, NOW) == set(), "the other one saw the row before the mark"


# What hears it --------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_an_engine_with_an_inbox_runs_what_was_named_and_nothing_else() -> None:
    with factories.handling(lambda run: None) as calls:
        named = factories.make_execution(factories.make_job(handler="scripted"))
        other = factories.make_execution(factories.make_job(handler="scripted"))
        inbox = Inbox()
        errand = inbox.ask(Ring(execution_id=named.id, attempt=0))
        Engine(factories.make_config(plans=False), inbox=inbox).run_until(errand.closed.is_set)
    assert errand.wait()
    assert [call.id for call in calls] == [named.id]
    assert Execution.objects.get(id=named.id).status == Status.SUCCESS
    assert Execution.objects.get(id=other.id).status == Status.PENDING


@pytest.mark.django_db(transaction=True)
def test_a_named_execution_that_may_not_start_is_put_back_to_be_rung_for_again() -> None:
    job = factories.make_job(handler="scripted", state="paused")
    held = factories.make_execution(job, rung_at=NOW, rung_attempt=0)
    inbox = Inbox()
    errands = [inbox.ask(Ring(execution_id=key, attempt=0)) for key in (held.id, uuid.uuid4())]
    done = lambda: all(one.closed.is_set() for one in errands)  # noqa: E731
    Engine(factories.make_config(plans=False), inbox=inbox).run_until(done)
    assert not any(one.taken for one in errands)
    assert all(one.wait() for one in errands)
    held.refresh_from_db()
    assert (held.status, held.rung_at) == (Status.PENDING, None)


def test_a_second_ring_for_what_is_asked_already_goes_at_once() -> None:
    inbox = Inbox()
    key = uuid.uuid4()
    first = inbox.ask(Ring(execution_id=key, attempt=0))
    assert inbox.ask(Ring(execution_id=key, attempt=0)).wait()
    assert not first.closed.is_set()


def test_what_an_engine_left_undone_is_another_ones() -> None:
    inbox = Inbox()
    left, taken = (inbox.ask(Ring(execution_id=uuid.uuid4(), attempt=0)) for _ in range(2))
    inbox.take(taken.ring.execution_id)
    inbox.shut()
    assert not left.wait()
    assert taken.wait()
    assert not inbox.ask(Ring(execution_id=uuid.uuid4(), attempt=0)).wait()
