"""Sending: one process at a time, three tries, every outcome kept."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from alerts import channels, delivery, duties
from alerts.channels import NotDelivered
from alerts.messages import Message
from alerts.models import Alert, Delivery
from tests.db.alerts.world import end, make_alert, second
from tests.factories import NOON, Moving, at, make_job

pytestmark = pytest.mark.django_db


class Sender:
    """Stands in for the channels: remembers what it was given, and does what the test says."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.act: Callable[[], None] = lambda: None

    def __call__(self, kind: str, endpoint: str, message: Message, *, now: datetime) -> None:
        self.sent.append(message)
        self.act()

    def fail(self, **how: Any) -> None:
        """From now on everything fails, in this way."""

        def refuse() -> None:
            raise NotDelivered("HTTP 500: Internal Server Error", **how)

        self.act = refuse


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> Sender:
    found = Sender()
    monkeypatch.setattr(channels, "send", found)
    return found


@pytest.fixture
def clock() -> Iterator[Moving]:
    with at(NOON) as moving:
        yield moving


def make_delivery(alert: Alert | None = None, **fields: Any) -> Delivery:
    """A delivery of a failure that is due since NOON."""
    execution = end(make_job(), "FAILED", 0, error_message="boom")
    given = {
        "execution_id": execution.id,
        "job_id": execution.job_id,
        "event": "job.failed",
        "next_try_at": NOON,
        "happened_at": NOON,
    }
    row: Delivery = Delivery.objects.create(id=uuid.uuid4(), alert=alert or make_alert(), **given | fields)
    return row


def state(row: Delivery) -> tuple[str, int]:
    row.refresh_from_db()
    return row.status, row.tries


def next_try_of(row: Delivery) -> datetime | None:
    return Delivery.objects.get(id=row.id).next_try_at


def test_what_is_due_is_sent_and_kept_as_delivered(sender: Sender, clock: Moving) -> None:
    row, later = make_delivery(), make_delivery(next_try_at=second(1))

    assert delivery.send_all() == 1
    assert state(row) == ("DELIVERED", 1)
    assert next_try_of(row) is None
    assert state(later) == ("PENDING", 0)
    assert [message.id for message in sender.sent] == [row.id]


def test_three_tries_with_waits_between_them_end_as_failed(sender: Sender, clock: Moving) -> None:
    row = make_delivery()
    sender.fail()

    assert delivery.send_all() == 1
    assert state(row) == ("PENDING", 1)
    assert row.error == "HTTP 500: Internal Server Error"
    assert next_try_of(row) == second(5)
    assert delivery.send_all() == 0
    clock.advance(seconds=5)
    assert delivery.send_all() == 1
    assert state(row) == ("PENDING", 2)
    assert next_try_of(row) == second(35)
    clock.advance(seconds=30)
    assert delivery.send_all() == 1
    assert state(row) == ("FAILED", 3)
    assert next_try_of(row) is None
    clock.advance(days=1)
    assert delivery.send_all() == 0
    assert {message.id for message in sender.sent} == {row.id}


def test_a_second_try_that_arrives_leaves_no_error(sender: Sender, clock: Moving) -> None:
    row = make_delivery()
    sender.fail()
    delivery.send_all()
    sender.act = lambda: None
    clock.advance(seconds=5)
    delivery.send_all()

    assert state(row) == ("DELIVERED", 2)
    assert row.error is None


def test_what_no_try_can_mend_is_tried_once(sender: Sender, clock: Moving) -> None:
    row = make_delivery()
    sender.fail(permanent=True)
    delivery.send_all()

    assert state(row) == ("FAILED", 1)


def test_a_host_without_room_costs_no_try(sender: Sender, clock: Moving) -> None:
    row = make_delivery()
    sender.fail(unsent=True, delay=timedelta(seconds=2))
    for _ in range(5):
        delivery.send_all()
        assert state(row) == ("PENDING", 0)
        clock.advance(seconds=2)


def test_a_defect_of_ours_is_an_outcome_too(
    sender: Sender, clock: Moving, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down() -> None:
        raise KeyError("secret-in-a-message")

    row = make_delivery()
    sender.act = break_down
    delivery.send_all()

    assert state(row) == ("PENDING", 1)
    assert row.error == "it could not be made or sent: KeyError"
    assert "could not be made or sent" in caplog.text


def test_an_alert_that_is_switched_off_sends_no_more(sender: Sender, clock: Moving) -> None:
    row = make_delivery(make_alert(enabled=False))
    delivery.send_all()

    assert state(row) == ("FAILED", 1)
    assert sender.sent == []


def test_a_claim_is_taken_once_and_comes_back_when_its_process_died(sender: Sender, clock: Moving) -> None:
    row = make_delivery()
    claimed = delivery.claim(NOON)
    assert claimed is not None
    delivery._in_flight.leave(row.alert_id)
    assert delivery.claim(second(-1) + delivery.CLAIM) is None

    again = delivery.claim(second(0) + delivery.CLAIM)
    assert again is not None
    assert again.tries == 2
    delivery._in_flight.leave(row.alert_id)
    delivery.deliver(claimed)
    assert state(row) == ("PENDING", 2)
    delivery.deliver(again)
    assert state(row) == ("DELIVERED", 2)


def test_a_process_that_died_in_the_third_try_leaves_no_fourth(sender: Sender, clock: Moving) -> None:
    row = make_delivery(tries=3)

    assert delivery.claim(NOON) is None
    assert state(row) == ("FAILED", 3)
    assert row.error == "the last try was cut short"


def test_one_alert_is_sent_for_by_one_thread_at_a_time(sender: Sender, clock: Moving) -> None:
    slow, quick = make_alert(), make_alert()
    for number in range(3):
        make_delivery(slow, next_try_at=second(-10 + number))
    waiting = make_delivery(quick)

    first, second_one = delivery.claim(NOON), delivery.claim(NOON)
    try:
        assert first is not None
        assert first.delivery.alert_id == slow.id
        assert second_one is not None
        assert second_one.delivery.id == waiting.id
        assert delivery.claim(NOON) is None
    finally:
        delivery._in_flight.leave(slow.id)
        delivery._in_flight.leave(quick.id)


@pytest.mark.django_db(transaction=True)
def test_two_processes_that_see_the_same_delivery_send_it_once(sender: Sender) -> None:
    """Threads stand for processes here: each with its own connection and list of what is in flight."""
    rows = [make_delivery() for _ in range(10)]
    barrier = threading.Barrier(4)
    taken: list[uuid.UUID] = []

    def compete() -> None:
        barrier.wait()
        try:
            taken.extend(row.id for row in rows if delivery._take(row, NOON))
        finally:
            connection.close()

    threads = [threading.Thread(target=compete) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(taken) == sorted(row.id for row in rows)


@pytest.mark.django_db(transaction=True)
def test_a_hanging_endpoint_holds_one_sender_and_the_others_go_on(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "PATIENCE", 0.2)
    hanging, healthy = make_alert(), make_alert()
    release, stuck, arrived = threading.Event(), threading.Event(), threading.Event()
    stuck_rows = [make_delivery(hanging, next_try_at=second(number)) for number in range(3)]
    rows = [make_delivery(healthy, next_try_at=second(10 + number)) for number in range(3)]

    def act() -> None:
        if sender.sent[-1].id in {row.id for row in stuck_rows}:
            stuck.set()
            release.wait(30)
        elif len([m for m in sender.sent if m.id in {row.id for row in rows}]) == len(rows):
            arrived.set()

    sender.act = act
    now = second(60)
    with at(now):
        try:
            delivery.send_due(now)
            assert stuck.wait(30)
            delivery.send_due(now)
            assert arrived.wait(30)
            assert state(stuck_rows[0])[0] == "PENDING"
        finally:
            release.set()
        _wait_until_idle()
        assert {state(row)[0] for row in rows} == {"DELIVERED"}
        delivery.send_due(now)
        _wait_until_idle()
        assert {state(row)[0] for row in stuck_rows} == {"DELIVERED"}


def _wait_until_idle() -> None:
    """Senders end by themselves; their last step gives the connection back."""
    ended = threading.Event()
    while delivery._pool().busy or delivery._pool().queued:
        ended.wait(0.01)


def test_old_outcomes_are_forgotten_and_open_ones_are_not(settings: Any) -> None:
    settings.RETENTION_DAYS = 90
    old = second(-91 * 24 * 3600)
    gone = make_delivery(status="DELIVERED", created_at=old)
    kept = [make_delivery(created_at=old), make_delivery(status="FAILED")]
    duties.prune(NOON)

    assert set(Delivery.objects.values_list("id", flat=True)) == {row.id for row in kept}
    assert gone.id not in {row.id for row in kept}
