from __future__ import annotations

import heapq
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest

from executions.http.errors import CallTimeout, HostBusy
from executions.http.politeness import Breaker, HostGate, HostHealth, read_retry_after
from executions.http.watch import Watch

NOW = datetime(2026, 1, 20, 10, 0, tzinfo=UTC)
HOST = ("target.example", 443)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 120 ", 120),
        ("3600", 3600),
        ("3601", 3600),
        ("9" * 400, 3600),
        (format_datetime(NOW + timedelta(minutes=2), usegmt=True), 120),
        (format_datetime(NOW - timedelta(minutes=2), usegmt=True), 0),
        (format_datetime(NOW + timedelta(days=2), usegmt=True), 3600),
        ("Tue, 20 Jan 2026 10:01:00 -0000", 60),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date_and_capped_at_an_hour(text: str, seconds: int) -> None:
    assert read_retry_after({"Retry-after": text}, NOW) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "soon", "-5", "1.5", "٣", "Tue, 99 Jan 2026 10:00:00 GMT"])
def test_a_retry_after_that_cannot_be_read_is_none(text: str) -> None:
    assert read_retry_after({"Retry-After": text}, NOW) is None
    assert read_retry_after({}, NOW) is None


def test_a_full_host_gives_the_slot_back_and_says_when_to_come_again() -> None:
    gate = HostGate(2, patience=0.0)
    watch = Watch(timeout_ms=10_000)
    gate.enter(HOST, watch)
    gate.enter(HOST, watch)
    gate.enter(("other.example", 443), watch)
    with pytest.raises(HostBusy, match="HTTP_MAX_PER_HOST") as caught:
        gate.enter(HOST, watch)
    assert caught.value.retry_delay == timedelta(seconds=1)
    assert not caught.value.sent
    gate.leave(HOST, held=1.0)
    gate.enter(HOST, watch)


def test_those_that_a_full_host_sends_away_come_back_one_after_another_within_a_minute() -> None:
    gate = HostGate(2, patience=0.0)
    watch = Watch(timeout_ms=60_000)
    gate.enter(HOST, watch)
    gate.enter(HOST, watch)
    gate.leave(HOST, held=4.0)
    gate.enter(HOST, watch)
    delays = []
    for _ in range(100):
        with pytest.raises(HostBusy) as caught:
            gate.enter(HOST, watch)
        assert caught.value.retry_delay is not None
        delays.append(caught.value.retry_delay.total_seconds())
    steps = [after - before for before, after in pairwise(delays[:25])]
    assert all(step == pytest.approx(2.0, abs=0.2) for step in steps)
    assert 1.0 <= min(delays) <= max(delays) <= 60.0
    assert max(Counter(round(delay) for delay in delays).values()) <= 5


def test_a_call_waits_for_its_turn_and_goes_when_another_leaves() -> None:
    gate = HostGate(1, patience=30.0)
    gate.enter(HOST, Watch(timeout_ms=30_000))
    entered = threading.Event()

    def wait() -> None:
        gate.enter(HOST, Watch(timeout_ms=30_000))
        entered.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not entered.is_set()
    gate.leave(HOST, held=1.0)
    thread.join(10)
    assert entered.is_set()


def test_waiting_for_a_host_counts_against_the_deadline() -> None:
    gate = HostGate(1, patience=30.0)
    gate.enter(HOST, Watch(timeout_ms=30_000))
    with pytest.raises(CallTimeout, match="timeout of 50ms exceeded"):
        gate.enter(HOST, Watch(timeout_ms=50))


def test_a_limit_of_zero_is_none() -> None:
    gate = HostGate(0)
    for _ in range(100):
        gate.enter(HOST, Watch(timeout_ms=1000))


def test_a_few_failures_leave_retries_their_own_backoff() -> None:
    health = HostHealth()
    assert [health.note_failure(float(n)) for n in range(4)] == [0.0] * 4
    assert health.is_closed
    health.note_success()
    assert [health.note_failure(float(n)) for n in range(4)] == [0.0] * 4


def test_five_failures_in_a_row_open_it_and_retries_are_spread_after_a_burst() -> None:
    health = HostHealth()
    for _ in range(60):
        health.count_call(0.0, first=True)  # one a second
    delays = [health.note_failure(30.0) for _ in range(4 + 10 + 5)]
    assert not health.is_closed
    assert delays[:14] == [0.0] * 14
    assert delays[14:] == [1.25, 2.5, 3.75, 5.0, 6.25]


def test_a_single_quiet_job_is_not_kept_waiting() -> None:
    health = HostHealth()
    for hour in range(48):
        now = hour * 3600.0
        health.count_call(now, first=True)
        assert health.note_failure(now) == 0.0
        assert health.note_failure(now + 1) == 0.0


def test_half_open_needs_three_good_answers_and_one_bad_opens_it_again() -> None:
    health = HostHealth()
    for _ in range(5):
        health.note_failure(0.0)
    health.note_success()
    health.note_success()
    assert not health.is_closed
    health.note_failure(1.0)
    health.note_success()
    health.note_success()
    assert not health.is_closed
    health.note_success()
    assert health.is_closed


def test_no_retry_is_sent_away_for_more_than_an_hour_and_they_do_not_crowd_there() -> None:
    health = HostHealth()
    delays = [health.note_failure(0.0) for _ in range(5000)]
    assert max(delays) <= 3600.0
    assert max(Counter(delays[20:]).values()) <= 5000 / 720 + 1


def test_those_that_were_all_asked_to_come_at_one_moment_queue_up_behind_it() -> None:
    health = HostHealth()
    for _ in range(600):
        health.count_call(0.0, first=True)  # ten a second
    moments = []
    for number in range(300):
        now = number / 10
        moments.append(now + health.note_failure(now, asked=1800.0 - now))
    moments = sorted(moments[4:])
    assert moments[0] >= 1800.0
    assert all(after - before >= 0.0999 for before, after in pairwise(moments))


def test_one_that_was_asked_to_stay_away_does_not_hold_up_the_others() -> None:
    health = HostHealth()
    for _ in range(5):
        health.note_failure(0.0)
    assert health.note_failure(0.0, asked=3600.0) == 3600.0
    assert health.note_failure(0.0) < 60.0


def test_what_a_host_is_used_to_is_remembered_through_an_outage() -> None:
    health = HostHealth()
    for _ in range(6000):
        health.count_call(0.0, first=True)
    health.count_call(1800.0, first=False)
    assert health.rate() == pytest.approx(40.0)
    health.count_call(7 * 3600.0, first=False)
    assert health.rate() == 0.2


@pytest.mark.parametrize("outage", [1800.0])
def test_after_half_an_hour_down_the_rate_stays_within_twice_the_steady_one(outage: float) -> None:
    """5,000 executions fail while the target is down; each has three retries of 1, 2, 4 s."""
    breaker = Breaker()
    rate = 5000 / outage
    calls: list[tuple[float, int]] = []
    horizon = outage + 1800.0
    agenda = [(n / rate, 1) for n in range(int(horizon * rate))]
    heapq.heapify(agenda)
    while agenda:
        now, attempt = heapq.heappop(agenda)
        if now > horizon:
            break
        calls.append((now, attempt))
        breaker.count_call(HOST, now, first=attempt == 1)
        if now >= outage:
            breaker.note_success(HOST, now)
            continue
        pace = breaker.note_failure(HOST, now)
        if attempt <= 3:
            backoff = 2.0 ** (attempt - 1)
            heapq.heappush(agenda, (now + max(backoff, pace.total_seconds() if pace else 0.0), attempt + 1))
    assert sum(now < outage and attempt > 1 for now, attempt in calls) > 1000
    window = 10.0
    busiest = max(
        sum(start <= now < start + window for now, _ in calls)
        for start in range(int(outage), int(horizon), 5)
    )
    assert busiest <= 2 * rate * window + 2


def test_the_breaker_forgets_hosts_rather_than_grow() -> None:
    breaker = Breaker()
    for number in range(10_000):
        breaker.count_call((f"h{number}", 80), float(number), first=True)
    assert len(breaker._hosts) <= 4096
    for _ in range(5):
        breaker.note_failure(HOST, 10_000.0)
    assert breaker.is_open(HOST)
    assert not breaker.is_open(("other", 80))
