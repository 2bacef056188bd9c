"""Business calendars: what is open, what they refuse, and where they move fire times."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import islice
from typing import Any

import pytest

from jobs.timing import Calendar, CalendarDay, Occurrence, Schedule, occurrences

BAVARIA = {
    "dates": [
        {"date": "2026-12-24", "open": False, "note": "Christmas Eve"},
        {"date": "2026-12-26", "open": True, "note": "stocktaking"},
    ],
    "weekend": [6, 7],
    "holidays": "DE-BY",
}


def test_dates_win_over_holidays_and_holidays_over_the_weekend() -> None:
    calendar = Calendar.from_definition(BAVARIA)
    said = {
        date(2026, 12, 23): (True, ""),
        date(2026, 12, 24): (False, "Christmas Eve"),
        date(2026, 12, 25): (False, "Christmas Day"),
        date(2026, 12, 26): (True, "stocktaking"),
        date(2026, 12, 27): (False, "weekend"),
        date(2026, 1, 6): (False, "Epiphany"),
    }
    assert {day: (calendar.is_open(day), calendar.note(day)) for day in said} == said


def test_a_part_of_a_country_has_holidays_of_its_own() -> None:
    corpus_christi = date(2026, 6, 4)
    assert Calendar.from_definition({"holidays": "DE"}).is_open(corpus_christi)
    assert not Calendar.from_definition({"holidays": "DE-BY"}).is_open(corpus_christi)


def test_a_definition_comes_back_as_it_was() -> None:
    calendar = Calendar.from_definition(BAVARIA)
    assert calendar.to_definition() == BAVARIA
    assert Calendar.from_definition(calendar.to_definition()) == calendar
    assert hash(Calendar.from_definition(calendar.to_definition())) == hash(calendar)
    empty = Calendar.from_definition({})
    assert empty.to_definition() == {"dates": [], "weekend": [], "holidays": None}
    assert empty.is_open(date(2026, 12, 25))


def test_added_dates_win_over_the_known_ones() -> None:
    calendar = Calendar.from_definition(BAVARIA)
    more = calendar.with_dates(
        {date(2026, 12, 24): CalendarDay(open=True), date(2026, 12, 31): CalendarDay(open=False)}
    )
    assert more.is_open(date(2026, 12, 24))
    assert not more.is_open(date(2026, 12, 31))
    assert calendar.is_open(date(2026, 12, 31))


@pytest.mark.parametrize(
    ("definition", "reason"),
    [
        (None, "must be an object"),
        ([], "must be an object"),
        ({"days": []}, "unknown field 'days'"),
        ({"dates": {}}, "dates: must be a list"),
        ({"dates": ["2026-01-01"]}, r"dates\.0: must be an object"),
        ({"dates": [{}]}, r"dates\.0\.date: must be a date"),
        ({"dates": [{"date": "2026-02-30"}]}, r"dates\.0\.date"),
        ({"dates": [{"date": "20260230"}]}, r"dates\.0\.date"),
        ({"dates": [{"date": "2026-02-03", "open": "yes"}]}, r"dates\.0\.open"),
        ({"dates": [{"date": "2026-02-03", "note": 5}]}, r"dates\.0\.note"),
        ({"dates": [{"date": "2026-02-03", "note": "x" * 201}]}, r"dates\.0\.note"),
        ({"dates": [{"date": "2026-02-03", "closed": True}]}, r"dates\.0: unknown field"),
        ({"dates": [{"date": "2026-02-03"}, {"date": "2026-02-03"}]}, r"dates\.1\.date: .* twice"),
        ({"dates": [{"date": "2026-02-03"}] * 10_001}, "more than 10000"),
        ({"weekend": "67"}, "weekend: must be a list"),
        ({"weekend": [0]}, "weekend"),
        ({"weekend": [8]}, "weekend"),
        ({"weekend": [True]}, "weekend"),
        ({"weekend": ["6"]}, "weekend"),
        ({"weekend": [6] * 8}, "weekend"),
        ({"holidays": "XX"}, "unknown country"),
        ({"holidays": "NYSE"}, "holidays"),
        ({"holidays": "de"}, "holidays"),
        ({"holidays": "DE-ZZ"}, "unknown part"),
        ({"holidays": 49}, "holidays"),
        ({"holidays": "DE" * 100_000}, "holidays"),
    ],
)
def test_a_bad_definition_is_refused_and_the_field_named(definition: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Calendar.from_definition(definition)


WEEKEND = Calendar.from_definition({"weekend": [6, 7]})


def found(count: int, **fields: Any) -> list[Occurrence]:
    return list(islice(occurrences(Schedule(**fields), datetime(2026, 8, 1, tzinfo=UTC)), count))


def test_without_a_shift_closed_fire_times_are_marked() -> None:
    # 1 August 2026 is a Saturday.
    marked = found(4, expression="0 9 * * *", calendar=WEEKEND)
    assert [(each.at.day, each.closed, each.note) for each in marked] == [
        (1, True, "closed by the calendar (weekend)"),
        (2, True, "closed by the calendar (weekend)"),
        (3, False, ""),
        (4, False, ""),
    ]


def test_a_fire_time_moves_to_the_next_open_day_and_keeps_its_wall_time() -> None:
    moved = found(2, expression="30 9 1 * *", calendar=WEEKEND, shift="next", zone="Europe/Berlin")
    assert [each.at for each in moved] == [
        datetime(2026, 8, 3, 7, 30, tzinfo=UTC),
        datetime(2026, 9, 1, 7, 30, tzinfo=UTC),
    ]
    assert moved[0].note == "moved by the calendar from Saturday 2026-08-01 (weekend)"
    assert not moved[0].closed
    assert moved[1].note == ""


def test_a_fire_time_moves_to_the_previous_open_day_even_before_the_search_began() -> None:
    schedule = Schedule(expression="0 9 2 * *", calendar=WEEKEND, shift="previous")
    first = next(occurrences(schedule, datetime(2026, 7, 31, 8, tzinfo=UTC)))
    assert first.at == datetime(2026, 7, 31, 9, tzinfo=UTC)
    assert next(occurrences(schedule, first.at)).at == datetime(2026, 9, 2, 9, tzinfo=UTC)


def test_moved_fire_times_that_meet_others_become_one() -> None:
    daily = found(3, expression="0 9 * * *", calendar=WEEKEND, shift="next")
    assert [(each.at.day, each.note) for each in daily] == [(3, ""), (4, ""), (5, "")]
    weekends = found(2, expression="0 9 * * SAT,SUN", calendar=WEEKEND, shift="next")
    assert [each.at.day for each in weekends] == [3, 10]
    assert weekends[0].note.count("weekend") == 2


def test_a_day_without_an_open_day_in_a_year_stays_and_is_closed() -> None:
    never = Calendar.from_definition({"weekend": [1, 2, 3, 4, 5, 6, 7]})
    stuck = found(2, expression="0 9 * * *", calendar=never, shift="next")
    assert [(each.at.day, each.closed) for each in stuck] == [(1, True), (2, True)]


@pytest.mark.parametrize(("shift", "day"), [("next", 3), ("previous", 31)])
def test_a_one_time_job_moves_too(shift: str, day: int) -> None:
    schedule = Schedule(
        kind="one_time",
        anchor=datetime(2026, 8, 1, 9, tzinfo=UTC),
        zone="America/New_York",
        calendar=WEEKEND,
        shift=shift,  # type: ignore[arg-type]
    )
    assert [each.at.day for each in occurrences(schedule, datetime(2026, 7, 1, tzinfo=UTC))] == [day]
    (only,) = occurrences(schedule, datetime(2026, 7, 1, tzinfo=UTC))
    assert (only.at.hour, only.closed) == (9, False)
    assert "Saturday 2026-08-01" in only.note


def test_a_payday_anchored_on_a_closed_day_is_paid_before_it() -> None:
    paid = Schedule(
        kind="recurring",
        pattern="monthly",
        anchor=datetime(2026, 1, 31, 9, tzinfo=UTC),
        calendar=WEEKEND,
        shift="previous",
    )
    days = [each.at.date() for each in islice(occurrences(paid, datetime(2026, 1, 1, tzinfo=UTC)), 3)]
    assert days == [date(2026, 1, 30), date(2026, 2, 27), date(2026, 3, 31)]


def test_a_day_is_judged_by_the_clock_of_the_jobs_zone() -> None:
    # 23:30 on Friday in New York is Saturday in UTC.
    schedule = Schedule(expression="30 23 * * FRI", zone="America/New_York", calendar=WEEKEND)
    assert not next(occurrences(schedule, datetime(2026, 8, 1, tzinfo=UTC))).closed


def test_a_moved_fire_time_meets_a_clock_change_like_any_other() -> None:
    # The clocks of Berlin skip 02:00-03:00 on Sunday 29 March 2026, here the only open day.
    only = Calendar.from_definition(
        {"weekend": [1, 2, 3, 4, 5, 6, 7], "dates": [{"date": "2026-03-29", "open": True}]}
    )
    schedule = Schedule(expression="30 2 27 3 *", zone="Europe/Berlin", calendar=only, shift="next")
    first = next(occurrences(schedule, datetime(2026, 3, 1, tzinfo=UTC)))
    assert first.at == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert "2026-03-27" in first.note
    assert "02:30 does not exist" in first.note


def test_the_window_judges_the_moved_fire_time() -> None:
    schedule = Schedule(
        expression="0 9 1 8 *",
        calendar=WEEKEND,
        shift="next",
        end_at=datetime(2026, 8, 2, tzinfo=UTC),
    )
    assert list(occurrences(schedule, datetime(2026, 1, 1, tzinfo=UTC))) == []
