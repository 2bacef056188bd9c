"""A trigger in one process starts the run in another, without waiting for a poll."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection

from executions import wake
from executions.engine import listener
from executions.engine.listener import Listener
from tests.fault.database import Database
from tests.fault.processes import Scheduler, wait_for
from tests.pgbouncer import Bouncer
from web.patience import PatientConnection

LISTENERS = "SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN scheduler_wake'"
KILL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN scheduler_wake' AND datname = current_database()"


@pytest.mark.timeout(300)
def test_a_ring_wakes_a_scheduler_that_would_sleep_for_a_minute_also_after_its_listener_was_killed(
    migrated_url: str, tmp_path: Path
) -> None:
    database = Database(migrated_url)
    if database.kind == "sqlite":
        pytest.skip("SQLite has no notifications: the poll finds it")
    database.insert(
        "batch_jobs",
        [{"job_name": "quick", "cron_expression": "0 0 1 1 *", "status": "active", "handler": "default"}],
    )
    scheduler = Scheduler(
        database.url, tmp_path / "log", extra={"SCHEDULER_POLL_INTERVAL_MS": "60000"}
    ).ready()
    here = f"{LISTENERS} AND datname = current_database()"
    try:
        for runs in (1, 2):
            wait_for(lambda: database.one(here), 30, "the listener")
            database.write(
                "INSERT INTO job_executions (id, job_id, scheduled_at) SELECT gen_random_uuid(), id, now() FROM batch_jobs"
            )
            database.fetch("SELECT pg_notify('scheduler_wake', '')")
            done = "SELECT count(*) FROM job_executions WHERE status = 'SUCCESS'"
            wait_for(lambda: database.one(done) == runs, 20, "the run, long before the next poll")  # noqa: B023
            assert database.fetch(KILL) == [(True,)]
            wait_for(lambda: not database.one(here), 20, "the end of the listener")
    finally:
        scheduler.end()


@pytest.fixture
def on_postgresql() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no notifications")


@pytest.fixture
def rings() -> Iterator[threading.Semaphore]:
    """A listener of this process; each ring that it passes on releases the semaphore once."""
    heard = threading.Semaphore(0)
    found = Listener(heard.release)
    found.start()
    yield heard
    found.stop()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("on_postgresql")
def test_the_listener_hears_others_and_not_its_own_trial(rings: threading.Semaphore) -> None:
    for _ in range(3):
        wake.ring()  # perhaps before it listens: asked for until it is heard
        if rings.acquire(timeout=5):
            break
    else:
        pytest.fail("a ring was not heard")
    assert not rings.acquire(timeout=1.5), "the trial of the listener itself wakes nobody"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("on_postgresql")
def test_a_pooler_that_swallows_notifications_is_found_out_and_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, postgres_url: str
) -> None:
    bouncer = Bouncer(postgres_url, connections=2)
    bouncer.start()
    name = connection.settings_dict["NAME"]
    monkeypatch.setattr(
        listener, "_parameters", lambda: {"conninfo": bouncer.url(f"//x/{name}"), "prepare_threshold": None}
    )
    monkeypatch.setattr(listener, "PROBE_LIMIT", 0.5)
    heard = threading.Semaphore(0)
    deaf = Listener(heard.release)
    try:
        with caplog.at_level(logging.WARNING, "executions.engine.listener"):
            deaf.start()
            assert heard.acquire(timeout=30), "it looks for what was rung meanwhile"
        assert "set DB_PGBOUNCER=true" in caplog.text
    finally:
        deaf.stop()
        bouncer.close()


class HalfOpen(Listener):
    """A listener whose first connection goes silent when `silent` is set."""

    def __init__(self, ring: Callable[[], None]) -> None:
        super().__init__(ring)
        self.silent = threading.Event()
        self.trials = threading.Semaphore(0)
        self._first: PatientConnection | None = None

    def _hear(self, own: PatientConnection) -> set[str]:
        self._first = self._first or own
        heard = super()._hear(own)
        return set() if self.silent.is_set() and own is self._first else heard

    def _probe(self, own: PatientConnection) -> None:
        super()._probe(own)
        self.trials.release()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("on_postgresql")
def test_a_connection_that_went_silent_is_opened_anew_without_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listener, "PROBE_AFTER", 1)
    monkeypatch.setattr(listener, "PROBE_LIMIT", 2.0)
    monkeypatch.setattr(listener, "RECONNECT_AFTER", 0.05)
    heard = threading.Semaphore(0)
    found = HalfOpen(heard.release)
    with caplog.at_level(logging.WARNING, "executions.engine.listener"):
        found.start()
        assert found.trials.acquire(timeout=30), "a trial that was heard"
        found.silent.set()
        assert heard.acquire(timeout=30), "it was given up, and what was rung meanwhile is looked for"
        while found.trials.acquire(blocking=False):
            pass
        assert found.trials.acquire(timeout=30), "the next connection hears"
        found.stop()
    assert caplog.text == ""
