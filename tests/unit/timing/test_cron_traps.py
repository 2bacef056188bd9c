"""The traps of croniter, one by one: what it does is in the name or the comment, what we promise below."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import pytest

from jobs.timing import check_cron, fire_times

BERLIN = "Europe/Berlin"


def local_fires(expression: str, after: str, count: int, zone: str = BERLIN) -> list[str]:
    """The next fire times by the clock of the zone, as `29 03:00+02:00` after a wall time."""
    from zoneinfo import ZoneInfo

    tz = ZoneInfo(zone)
    start = datetime.fromisoformat(after).replace(tzinfo=tz)
    fires = islice(fire_times(expression, zone, start), count)
    return [at.astimezone(tz).isoformat(timespec="minutes")[5:] for at in fires]


def days(expression: str, after: str, count: int) -> list[str]:
    start = datetime.fromisoformat(after).replace(tzinfo=UTC)
    return [f"{at:%a %m-%d}" for at in islice(fire_times(expression, "UTC", start), count)]


def test_a_fixed_time_in_the_autumn_overlap_fires_once_in_the_first_pass() -> None:
    assert local_fires("30 2 * * *", "2026-10-24T12:00", 2) == ["10-25T02:30+02:00", "10-26T02:30+01:00"]


@pytest.mark.parametrize(
    ("expression", "same"),
    [
        ("0 5-5 * * *", "0 5 * * *"),
        ("5-5 * * * *", "5 * * * *"),
        ("0 0 * * MON-MON", "0 0 * * MON"),
        ("0 0 7-7 * *", "0 0 7 * *"),
        ("0 0 1 3-3 *", "0 0 1 MAR *"),
        ("9-9 0 0 * * *", "9 0 0 * * *"),
        ("0 0 * * 7-7", "0 0 * * SUN"),
        ("0 5-5/3 * * *", "0 5 * * *"),
    ],
)
def test_a_range_with_equal_ends_is_the_one_value(expression: str, same: str) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert list(islice(fire_times(expression, "UTC", start), 9)) == list(
        islice(fire_times(same, "UTC", start), 9)
    )


def test_an_nth_weekday_beside_a_day_of_the_month_keeps_both() -> None:
    assert days("0 0 1 * MON#3", "2026-01-02", 3) == ["Mon 01-19", "Sun 02-01", "Mon 02-16"]
    assert days("0 0 13 * 5#2", "2026-01-01", 4) == ["Fri 01-09", "Tue 01-13", "Fri 02-13", "Fri 03-13"]


def test_a_nearest_weekday_beside_a_weekday_keeps_both() -> None:
    assert days("0 0 15W * MON", "2026-01-01", 4) == ["Mon 01-05", "Mon 01-12", "Thu 01-15", "Mon 01-19"]


@pytest.mark.parametrize("expression", ["0 */2 * * *", "*/20 2 * * *", "0 2-23/2 * * *"])
def test_a_wildcard_leaves_nothing_behind_when_the_clock_skips_its_hour(expression: str) -> None:
    at_three = "03-29T03:00+02:00"
    follows_clock = "*" in expression.split()[0] + expression.split()[1]
    assert (at_three in local_fires(expression, "2026-03-29T01:30", 3)) is not follows_clock


@pytest.mark.parametrize("day", ["31W", "30W", "29W", "0W", "99W"])
def test_a_nearest_weekday_is_refused_for_days_that_short_months_lack(day: str) -> None:
    with pytest.raises(ValueError, match="day-of-month"):
        check_cron(f"0 0 {day} * *")


def test_six_fields_begin_with_the_seconds() -> None:
    start = datetime(2026, 2, 8, tzinfo=UTC)
    fires = list(islice(fire_times("0 0 9 * * 1", "UTC", start), 2))
    assert fires == [datetime(2026, 2, 9, 9, tzinfo=UTC), datetime(2026, 2, 16, 9, tzinfo=UTC)]


@pytest.mark.parametrize(
    "expression",
    [
        "R * * * *",
        "R(0-5) * * * *",
        "R/15 * * * *",
        "H * * * *",
        "H/15 * * * *",
        "H(0-9) * * * *",
        "0 R * * *",
    ],
)
def test_random_and_hashed_values_are_refused(expression: str) -> None:
    with pytest.raises(ValueError, match="random or hashed"):
        check_cron(expression)


@pytest.mark.parametrize("expression", ["0 0 1-0 * *", "0 0 10-0 * *", "0 0 1 12-0 *", "0 0 0-5 * *"])
def test_both_ends_of_a_range_are_checked(expression: str) -> None:
    with pytest.raises(ValueError, match="0 is not between 1 and"):
        check_cron(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "0 0 * * L5",
        "0 0 W15 * *",
        "0 0 * * * * 2099",
        "* * * * * * *",
        "0 0 LW * *",
        "0 0 L-3 * *",
        "0 0 * * L",
    ],
)
def test_spellings_that_nobody_else_reads_are_refused(expression: str) -> None:
    with pytest.raises(ValueError, match="field"):
        check_cron(expression)


def test_last_weekdays_and_mixed_lists_are_read() -> None:
    for expression in ("0 0 * * 5L", "0 0 * * FRI#L", "0 0 * * fril"):
        assert days(expression, "2026-01-01", 3) == ["Fri 01-30", "Fri 02-27", "Fri 03-27"]
    assert days("0 0 * * 1,3#2", "2026-01-06", 4) == ["Mon 01-12", "Wed 01-14", "Mon 01-19", "Mon 01-26"]


def test_a_gap_costs_no_walk_through_its_seconds() -> None:
    """croniter walks second by second: 593 ms at an hour's gap, over 20 s at Apia's lost day."""
    from jobs.timing.fires import WallFires
    from jobs.timing.zones import _block

    asked = 0

    class Counted(WallFires):
        def walls_in(self, piece):  # type: ignore[no-untyped-def]
            nonlocal asked
            asked += 1
            return super().walls_in(piece)

    from jobs.timing.cron import read_cron
    from jobs.timing.ticks import from_ticks, to_ticks
    from jobs.timing.zones import read_zone

    _block.cache_clear()
    fires = Counted(walls=read_cron("* * * * * *").walls, zone=read_zone("Pacific/Apia"), follows_clock=True)
    fire = fires.after(to_ticks(datetime(2011, 12, 30, 9, 59, 59, tzinfo=UTC)))
    assert fire is not None
    assert from_ticks(fire.at) == datetime(2011, 12, 30, 10, tzinfo=UTC)
    assert asked <= 3


@pytest.mark.parametrize("expression", ["0 0 */2 * MON", "0 0 1-31/2 * MON"])
def test_a_step_in_one_day_field_and_the_other_restricted_means_either(expression: str) -> None:
    assert days(expression, "2026-06-03T12:00", 4) == ["Fri 06-05", "Sun 06-07", "Mon 06-08", "Tue 06-09"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 22-2 * * *", [22, 23, 0, 1, 2]),
        ("0 22-2/2 * * *", [22, 0, 2]),
        ("0 5/6 * * *", [5, 11, 17, 23]),
    ],
)
def test_ranges_wrap_and_single_values_step_to_the_end(expression: str, expected: list[int]) -> None:
    fires = fire_times(expression, "UTC", datetime(2026, 1, 1, 2, 30, tzinfo=UTC))
    assert {at.hour for at in islice(fires, len(expected))} == set(expected)


@pytest.mark.parametrize(
    ("field", "weekdays"),
    [
        ("SAT-MON", "Sat Sun Mon"),
        ("5-7", "Fri Sat Sun"),
        ("7-1", "Sun Mon"),
        ("7", "Sun"),
        ("0", "Sun"),
        ("0-7", "Sun Mon Tue Wed Thu Fri Sat"),
        ("6-2/2", "Sat Mon"),
        ("5-7/2", "Fri Sun"),
        ("1/2", "Mon Wed Fri"),
        ("7/2", "Sun"),
        ("7-7", "Sun"),
        ("7-0", "Sun"),
        ("0-0", "Sun"),
        ("*/2", "Sun Tue Thu Sat"),
        ("sun", "Sun"),
        ("tUe,THU", "Tue Thu"),
        ("SUN-SAT", "Sun Mon Tue Wed Thu Fri Sat"),
    ],
)
def test_weekday_fields_name_these_days(field: str, weekdays: str) -> None:
    fires = fire_times(f"0 0 * * {field}", "UTC", datetime(2025, 12, 31, tzinfo=UTC))
    assert {f"{at:%a}" for at in islice(fires, 7)} == set(weekdays.split())


@pytest.mark.parametrize("expression", ["0 0 30 2 *", "0 0 31 4 *", "0 0 31 2,4,6,9,11 *"])
def test_an_expression_that_never_fires_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match="never fires"):
        check_cron(expression)


def test_a_rare_day_is_found_and_no_end_is_invented() -> None:
    assert days("0 0 29 2 *", "2096-03-01", 1) == ["Fri 02-29"]
    fires = fire_times("0 0 * 2 MON#5", "UTC", datetime(2073, 1, 1, tzinfo=UTC))
    assert next(fires) == datetime(2112, 2, 29, tzinfo=UTC)


def test_the_example_of_the_contract_fires_six_times_a_working_day() -> None:
    fires = list(islice(fire_times("31 10-15 1 * * MON-FRI", "UTC", datetime(2026, 1, 1, 12, tzinfo=UTC)), 7))
    expected = [datetime(2026, 1, 2, 1, minute, 31, tzinfo=UTC) for minute in range(10, 16)]
    assert fires == [*expected, datetime(2026, 1, 5, 1, 10, 31, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("alias", "expression"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
        (" @hourly\t", "0 * * * *"),
    ],
)
def test_an_alias_is_its_expression(alias: str, expression: str) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert list(islice(fire_times(alias, BERLIN, start), 5)) == list(
        islice(fire_times(expression, BERLIN, start), 5)
    )
