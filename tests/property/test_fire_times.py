"""Fire times against a set-based reference, over zones whose clocks change in every odd way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from jobs.timing import check_cron, fire_times
from tests.property.timing_reference import (
    MOMENTS,
    SECOND,
    CronCase,
    MadeZone,
    cron_cases,
    reference_fires,
)

moments = st.sampled_from(MOMENTS)


def can_fire(case: CronCase) -> bool:
    try:
        check_cron(case.expression)
    except ValueError as error:
        if "never fires" not in str(error):
            raise
        return False
    return True


def fires_between(case: CronCase, zone: str, start: datetime, stop: datetime) -> list[datetime]:
    after = start - timedelta(microseconds=1)
    return list(takewhile(lambda at: at < stop, fire_times(case.expression, zone, after)))


@settings(max_examples=200, deadline=None)
@given(case=cron_cases(), moment=moments)
def test_fire_times_are_those_of_the_set_based_reference(
    case: CronCase, moment: tuple[str, datetime]
) -> None:
    zone, change = moment
    assume(can_fire(case))
    start, stop = change - timedelta(hours=12), change + timedelta(hours=30)
    # Offsets with seconds (old local mean times) are beyond a walk by minutes.
    assume(change.year > 1900 and zone != "Africa/Monrovia")
    assert fires_between(case, zone, start, stop) == reference_fires(case, zone, start=start, stop=stop)


@settings(max_examples=60, deadline=None)
@given(case=cron_cases(seconds=True), moment=moments, offset=st.integers(-3600, 3600))
def test_six_fields_follow_the_same_rules_to_the_second(
    case: CronCase, moment: tuple[str, datetime], offset: int
) -> None:
    zone, change = moment
    assume(can_fire(case))
    start = change + timedelta(seconds=offset - 1200)
    stop = start + timedelta(minutes=40)
    expected = reference_fires(case, zone, start=start, stop=stop, step=SECOND)
    assert fires_between(case, zone, start, stop) == expected


@st.composite
def made_zones(draw: st.DrawFn) -> tuple[MadeZone, datetime]:
    """Zones with changes close to each other, each to an offset that was not there before."""
    first, *offsets = draw(st.lists(st.integers(-8, 8), min_size=2, max_size=4, unique=True))
    # Zones are read in blocks of 406 days: the changes lie on both sides of a border.
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=406 * draw(st.integers(-20, 40)))
    at += timedelta(minutes=30 * draw(st.integers(-24, 8)))
    changes = []
    for offset in offsets:
        changes.append((at, offset * 60))
        at += timedelta(minutes=30 * draw(st.one_of(st.integers(1, 8), st.integers(1, 96))))
    return MadeZone(first * 60, changes), changes[0][0]


DENSE = [
    CronCase(
        expression=f"{minutes} {hours} * * *",
        seconds=frozenset({0}),
        minutes=frozenset(range(0, 60, step)),
        hours=frozenset(range(24)),
        on_day=lambda day: True,
        follows_clock=star,
    )
    for minutes, hours, step, star in [
        ("0-59/30", "0-23", 30, False),
        ("0/7", "0-23", 7, False),
        ("*/20", "0-23", 20, True),
    ]
]


@settings(max_examples=120, deadline=None)
@given(case=st.one_of(st.sampled_from(DENSE), cron_cases()), made=made_zones())
def test_clock_changes_may_follow_one_another_closely(
    case: CronCase, made: tuple[MadeZone, datetime]
) -> None:
    zone, change = made
    assume(can_fire(case))
    start, stop = change - timedelta(hours=8), change + timedelta(hours=40)
    expected = reference_fires(case, zone, start=start, stop=stop)
    after = start - timedelta(microseconds=1)
    assert list(takewhile(lambda at: at < stop, fire_times(case.expression, zone, after))) == expected


@settings(max_examples=150, deadline=None)
@given(case=cron_cases(), moment=moments, count=st.integers(1, 40))
def test_the_fire_times_never_depend_on_where_the_search_starts(
    case: CronCase, moment: tuple[str, datetime], count: int
) -> None:
    zone, change = moment
    assume(can_fire(case))
    start = change - timedelta(hours=26)
    walked = list(islice(fire_times(case.expression, zone, start), count))
    at, searched = start, []
    for _ in walked:
        at = next(fire_times(case.expression, zone, at))
        searched.append(at)
    assert walked == searched
    for known in walked:
        just_before = known - timedelta(microseconds=1)
        assert next(fire_times(case.expression, zone, just_before)) == known


@settings(max_examples=100, deadline=None)
@given(case=cron_cases(), moment=moments)
def test_writing_the_seconds_out_changes_nothing(case: CronCase, moment: tuple[str, datetime]) -> None:
    zone, change = moment
    assume(can_fire(case))
    start = change - timedelta(hours=3)
    five = list(islice(fire_times(case.expression, zone, start), 20))
    six = list(islice(fire_times(f"0 {case.expression}", zone, start), 20))
    assert five == six


@settings(max_examples=200, deadline=None)
@given(case=cron_cases(), moment=moments, count=st.integers(1, 30))
@example(case=None, moment=("UTC", datetime(9999, 12, 31, 23, 50, tzinfo=UTC)), count=30)
def test_fire_times_rise_strictly_and_lie_after_the_start(
    case: CronCase | None, moment: tuple[str, datetime], count: int
) -> None:
    zone, start = moment
    assume(case is None or can_fire(case))
    expression = "* * * * *" if case is None else case.expression
    fires = list(islice(fire_times(expression, zone, start), count))
    assert all(earlier < later for earlier, later in zip([start, *fires], fires, strict=False))
    assert all(at.tzinfo is UTC for at in fires)


@settings(max_examples=400, deadline=None)
@given(text=st.text(max_size=40))
def test_any_text_is_accepted_or_refused_with_a_reason(text: str) -> None:
    try:
        list(islice(fire_times(text, "UTC", datetime(2026, 1, 1, tzinfo=UTC)), 3))
    except ValueError as error:
        if not str(error):
            raise


@settings(max_examples=600, deadline=None)
@given(text=st.text(alphabet="0123456789*/-,LW#?@RHSUNMO \t", max_size=60))
def test_any_text_of_cron_characters_is_accepted_or_refused_with_a_reason(text: str) -> None:
    try:
        list(islice(fire_times(text, "America/New_York", datetime(2026, 1, 1, tzinfo=UTC)), 3))
    except ValueError as error:
        if not str(error):
            raise
