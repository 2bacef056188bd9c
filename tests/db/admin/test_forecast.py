"""The heat map's figures: the fire times of all jobs, and what is left out of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobs import forecast
from jobs.models import Job
from tests.db.admin.world import make_admin_job

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 2, 12, 34, tzinfo=UTC)


def test_fire_times_are_counted_in_slots_of_five_minutes() -> None:
    for number in range(3):
        make_admin_job(f"hourly {number}", cron_expression="7 * * * *")
    make_admin_job("late", cron_expression="58 23 * * *")
    found = forecast.predict(NOON)
    assert found.start == datetime(2026, 3, 2, 12, tzinfo=UTC)
    assert found.counts[1::12] == [3] * 24
    assert sum(found.counts) == 3 * 24 + 1
    (spot,) = found.hot_spots(NOON, 1)
    assert (spot.at, spot.count, spot.jobs) == (datetime(2026, 3, 2, 13, 5, tzinfo=UTC), 3, 3)


def test_a_job_that_fires_every_second_is_counted_without_walking() -> None:
    make_admin_job("busy", cron_expression="* * * * * *")
    assert set(forecast.predict(NOON).counts) == {300}


def test_jobs_that_are_off_fire_nothing() -> None:
    job = make_admin_job("off", cron_expression="0 * * * *")
    Job.objects.filter(pk=job.pk).update(state="paused")
    assert sum(forecast.predict(NOON).counts) == 0
    assert forecast.predict(NOON).hot_spots(NOON) == []


def test_the_jobs_of_a_slot_are_those_that_fire_in_it() -> None:
    make_admin_job("hourly", cron_expression="7 * * * *")
    make_admin_job("often", cron_expression="*/2 * * * *")
    make_admin_job("elsewhere", cron_expression="17 * * * *")
    make_admin_job("zoned", cron_expression="7 15 * * *", timezone="Europe/Athens")
    (spot,) = forecast.predict(NOON).hot_spots(NOON, 1)
    assert (spot.at, spot.jobs) == (datetime(2026, 3, 2, 13, 5, tzinfo=UTC), 3)
    found = Job.objects.filter(forecast.firing(spot.at, spot.at + forecast.SLOT))
    assert sorted(job.name for job in found) == ["hourly", "often", "zoned"]


def test_an_unreadable_schedule_spoils_nothing() -> None:
    make_admin_job("good", cron_expression="0 * * * *")
    Job.objects.create(name="bad", cron_expression="nonsense", next_run_at=NOON)
    assert sum(forecast.predict(NOON).counts) == 24


def test_beyond_the_most_used_schedules_the_next_runs_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "MOST_SCHEDULES", 1)
    for number in range(2):
        make_admin_job(f"many {number}", cron_expression="0 * * * *")
    rare = make_admin_job("rare", cron_expression="30 * * * *")
    Job.objects.filter(pk=rare.pk).update(next_run_at=NOON + timedelta(minutes=56))
    Job.objects.exclude(pk=rare.pk).update(next_run_at=NOON + timedelta(days=3))
    found = forecast.predict(NOON)
    assert found.estimated == 1
    assert sum(found.counts) == 2 * 24 + 1
