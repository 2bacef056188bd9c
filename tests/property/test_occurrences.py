"""Occurrences of whole schedules: one answer, however it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jobs.timing import (
    Calendar,
    CalendarDay,
    Schedule,
    backlog,
    between,
    next_occurrence,
    occurrences,
)
from tests.property.test_fire_times import can_fire
from tests.property.timing_reference import MOMENTS, cron_cases

FAR = datetime(9990, 1, 1, tzinfo=UTC)


@st.composite
def calendars(draw: st.DrawFn, around: date) -> Calendar | None:
    """A weekend, and open and closed dates around a day; or no calendar at all."""
    if draw(st.booleans()):
        return None
    days = st.integers(-12, 12).map(lambda days: around + timedelta(days=days))
    dates = draw(st.dictionaries(days, st.booleans(), max_size=12))
    return Calendar(
        dates={day: CalendarDay(open=is_open) for day, is_open in dates.items()},
        weekend=draw(st.sampled_from([frozenset(), frozenset({6, 7}), frozenset({5, 6})])),
    )


@st.composite
def schedules(draw: st.DrawFn) -> tuple[Schedule, datetime]:
    """Schedules of every kind, and a moment near which their zone's clock changes."""
    zone, moment = draw(st.sampled_from([each for each in MOMENTS if each[1].year > 1900]))
    kind = draw(st.sampled_from(["cron", "one_time", "recurring", "recurring"]))
    fields: dict[str, object] = {"kind": kind, "zone": zone}
    if kind == "cron":
        case = draw(cron_cases())
        assume(can_fire(case))
        fields["expression"] = case.expression
    else:
        fields["anchor"] = moment + timedelta(minutes=5 * draw(st.integers(-8000, 2000)))
        fields["pattern"] = draw(st.sampled_from(["hourly", "daily", "weekly", "monthly"]))
    for name, low, high in (("start_at", -400, 20), ("end_at", 20, 400)):
        if draw(st.integers(0, 3)) == 0:
            fields[name] = moment + timedelta(hours=draw(st.integers(low, high)))
    fields["calendar"] = draw(calendars(moment.date()))
    fields["shift"] = draw(st.sampled_from(["none", "next", "previous"]))
    return Schedule(**fields), moment  # type: ignore[arg-type]


def walk(schedule: Schedule, after: datetime, until: datetime) -> list[datetime]:
    return [each.at for each in takewhile(lambda each: each.at <= until, occurrences(schedule, after))]


@settings(max_examples=200, deadline=None)
@given(made=schedules(), hours=st.integers(1, 60))
def test_the_occurrences_never_depend_on_where_the_search_starts(
    made: tuple[Schedule, datetime], hours: int
) -> None:
    schedule, moment = made
    start = moment - timedelta(hours=40)
    walked = list(islice(occurrences(schedule, start), 60))
    later = start + timedelta(hours=hours)
    known = [each for each in walked if each.at > later]
    assert known == list(islice(occurrences(schedule, later), len(known)))
    assert all(one.at < two.at for one, two in pairwise(walked))


@settings(max_examples=150, deadline=None)
@given(made=schedules(), hours=st.integers(0, 72), newest=st.integers(0, 5))
def test_a_backlog_is_counted_as_it_would_be_walked(
    made: tuple[Schedule, datetime], hours: int, newest: int
) -> None:
    schedule, moment = made
    after, until = moment - timedelta(hours=30), moment - timedelta(hours=30) + timedelta(hours=hours)
    walked = list(takewhile(lambda each: each.at <= until, occurrences(schedule, after)))
    assume(len(walked) < 20_000)
    counted = backlog(schedule, after, until, newest=newest)
    assert counted.count == len(walked)
    assert counted.first == (walked[0] if walked else None)
    assert counted.last == (walked[-1] if walked else None)
    assert list(counted.newest) == (walked[-newest:] if newest else [])
    assert counted.newest_open == next((each for each in reversed(walked) if not each.closed), None)


@settings(max_examples=100, deadline=None)
@given(made=schedules())
def test_next_and_between_answer_as_occurrences_does(made: tuple[Schedule, datetime]) -> None:
    schedule, moment = made
    walked = list(islice(occurrences(schedule, moment), 10))
    assert next_occurrence(schedule, moment) == (walked[0] if walked else None)
    if walked:
        assert between(schedule, moment, walked[-1].at, 10) == walked
        assert between(schedule, moment, walked[-1].at, 3) == walked[:3]
        assert between(schedule, moment, walked[0].at - timedelta(microseconds=1), 3) == []


@settings(max_examples=100, deadline=None)
@given(made=schedules())
def test_no_occurrence_lies_outside_the_window(made: tuple[Schedule, datetime]) -> None:
    schedule, moment = made
    for each in islice(occurrences(schedule, moment - timedelta(days=30)), 200):
        assert schedule.start_at is None or each.at >= schedule.start_at
        assert schedule.end_at is None or each.at <= schedule.end_at


def first_instant(zone: ZoneInfo, wall: datetime) -> datetime:
    """The first instant at which the clock shows a wall time or, where it skips it, a later one."""
    early = wall.replace(tzinfo=UTC) - timedelta(hours=40)
    instants = (early + timedelta(minutes=5 * step) for step in range(12 * 80))
    return next(at for at in instants if at.astimezone(zone).replace(tzinfo=None) >= wall)


def recurring_days(pattern: str, first: date) -> Iterator[date]:
    for number in range(400):
        if pattern == "daily":
            yield first + timedelta(days=number)
        elif pattern == "weekly":
            yield first + timedelta(days=7 * number)
        else:
            year, month = divmod(first.year * 12 + first.month - 1 + number, 12)
            after = date(year + (month == 11), (month + 1) % 12 + 1, 1)
            yield min(date(year, month + 1, 1) + timedelta(days=first.day - 1), after - timedelta(days=1))


@settings(max_examples=120, deadline=None)
@given(made=schedules(), pattern=st.sampled_from(["daily", "weekly", "monthly"]), days=st.integers(0, 40))
def test_recurrence_keeps_the_wall_time_of_its_anchor_without_drift(
    made: tuple[Schedule, datetime], pattern: str, days: int
) -> None:
    name, moment = made[0].zone, made[1]
    zone = ZoneInfo(name)
    anchor = moment.replace(minute=0, second=0) - timedelta(days=days, minutes=25)
    local = anchor.astimezone(zone).replace(tzinfo=None)
    assume(local.minute % 5 == 0 and not local.second)
    schedule = Schedule(kind="recurring", pattern=pattern, anchor=anchor, zone=name)
    days_after = islice(recurring_days(pattern, local.date()), 1, 12)
    expected = [anchor, *(first_instant(zone, datetime.combine(day, local.time())) for day in days_after)]
    found = [each.at for each in islice(occurrences(schedule, anchor - timedelta(days=2)), 12)]
    assert found == expected


@settings(max_examples=60, deadline=None)
@given(made=schedules(), shift=st.sampled_from(["next", "previous"]), data=st.data())
def test_shifted_days_are_those_of_a_walk_over_the_calendar(
    made: tuple[Schedule, datetime], shift: str, data: st.DataObject
) -> None:
    """At noon, far from any clock change, a shift moves days and nothing else."""
    start = date(2026, 6, 1)
    calendar = data.draw(calendars(start + timedelta(days=12)))
    assume(calendar is not None)
    assert calendar is not None
    expression = data.draw(
        st.sampled_from(["0 12 * * *", "0 12 1,6,7,13 * *", "0 12 * * 6,0", "0 12 L * *", "0 12 * * 5#2"])
    )
    plain = Schedule(expression=expression)
    window = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 7, 15, tzinfo=UTC)
    moved = set()
    for at in walk(plain, *window):
        day, step = at, timedelta(days=1 if shift == "next" else -1)
        while not calendar.is_open(day.date()):
            day += step
        moved.add(day)
    inner = datetime(2026, 5, 20, tzinfo=UTC), datetime(2026, 6, 25, tzinfo=UTC)
    shifted = Schedule(expression=expression, calendar=calendar, shift=shift)  # type: ignore[arg-type]
    assert walk(shifted, *inner) == sorted(at for at in moved if inner[0] < at <= inner[1])


@settings(max_examples=100, deadline=None)
@given(made=schedules())
def test_an_hourly_job_runs_every_real_hour(made: tuple[Schedule, datetime]) -> None:
    zone, anchor = made[0].zone, made[1] - timedelta(hours=9, minutes=17)
    schedule = Schedule(kind="recurring", pattern="hourly", anchor=anchor, zone=zone)
    found = [each.at for each in islice(occurrences(schedule, anchor - timedelta(days=3)), 40)]
    assert found == [anchor + timedelta(hours=number) for number in range(40)]
