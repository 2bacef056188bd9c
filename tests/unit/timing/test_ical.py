"""Closed days from iCal files."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from jobs.timing import CalendarDay, dates_from_ics


def ics(*events: str) -> str:
    parts = [f"BEGIN:VEVENT\nUID:{number}\n{event}\nEND:VEVENT" for number, event in enumerate(events)]
    return "\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:test", *parts, "END:VCALENDAR", ""])


def days(*events: str, until: date = date(2100, 12, 31)) -> list[str]:
    return [day.isoformat() for day in dates_from_ics(ics(*events), until=until)]


def test_a_whole_day_is_closed_with_its_summary() -> None:
    found = dates_from_ics(ics("DTSTART;VALUE=DATE:20261224\nSUMMARY:Christmas\\, closed"))
    assert found == {date(2026, 12, 24): CalendarDay(open=False, note="Christmas, closed")}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            "DTSTART;VALUE=DATE:20261224\nDTEND;VALUE=DATE:20261227",
            ["2026-12-24", "2026-12-25", "2026-12-26"],
        ),
        ("DTSTART;VALUE=DATE:20261224\nDURATION:P2D", ["2026-12-24", "2026-12-25"]),
        ("DTSTART;VALUE=DATE:20261224\nDTEND;VALUE=DATE:20261224", ["2026-12-24"]),
        (
            "DTSTART;VALUE=DATE:20260501\nRRULE:FREQ=YEARLY;COUNT=3",
            ["2026-05-01", "2027-05-01", "2028-05-01"],
        ),
        (
            "DTSTART;VALUE=DATE:20260501\nRRULE:FREQ=YEARLY;UNTIL=20280501\nEXDATE;VALUE=DATE:20270501",
            ["2026-05-01", "2028-05-01"],
        ),
        (
            "DTSTART;VALUE=DATE:20261231\nDTEND;VALUE=DATE:20270102\nRRULE:FREQ=YEARLY;COUNT=2",
            ["2026-12-31", "2027-01-01", "2027-12-31", "2028-01-01"],
        ),
        (
            "DTSTART;VALUE=DATE:20260501\nRDATE;VALUE=DATE:20260601,20260701",
            ["2026-05-01", "2026-06-01", "2026-07-01"],
        ),
        ("DTSTART;VALUE=DATE:20260501\nRRULE:FREQ=DAILY;COUNT=2;UNTIL=20260501", ["2026-05-01"]),
        (
            "DTSTART;VALUE=DATE:20261126\nRRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH;COUNT=2",
            ["2026-11-26", "2027-11-25"],
        ),
    ],
)
def test_events_close_these_days(event: str, expected: list[str]) -> None:
    assert days(event) == expected


def test_a_repetition_without_an_end_stops_at_the_horizon() -> None:
    event = "DTSTART;VALUE=DATE:20260501\nRRULE:FREQ=YEARLY"
    assert days(event, until=date(2028, 1, 1)) == ["2026-05-01", "2027-05-01"]
    assert days(event)[-1] == "2100-05-01"


def test_events_with_a_time_and_cancelled_ones_are_left_out() -> None:
    assert days(
        "DTSTART:20260501T100000Z",
        "DTSTART;VALUE=DATE:20260502\nSTATUS:CANCELLED",
        "DTSTART;VALUE=DATE:20260503",
    ) == ["2026-05-03"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "must be text"),
        (b"BEGIN:VCALENDAR", "must be text"),
        ("", "no VCALENDAR"),
        ("rubbish", "cannot be read"),
        ("BEGIN:VCALENDAR", "."),
        ("\ud800", "cannot be read"),
        ("BEGIN:VEVENT\nEND:VEVENT", "no VCALENDAR"),
        (ics(), "no whole-day event"),
        (ics("DTSTART:20260501T100000Z"), "no whole-day event"),
        (ics("SUMMARY:no start"), "no whole-day event"),
        (ics("DTSTART;VALUE=DATE:2026"), "cannot be read"),
        (ics("DTSTART;VALUE=DATE:17890714"), "before 1900"),
        (ics("DTSTART;VALUE=DATE:20260501\nDTEND:20260501T100000Z"), "ends with a time"),
        (ics("DTSTART;VALUE=DATE:20260501\nDTEND;VALUE=DATE:99991231"), "lasts more than"),
        (ics("DTSTART;VALUE=DATE:20260501\nRRULE:FREQ=SECONDLY"), "more often than daily"),
        (ics("DTSTART;VALUE=DATE:20260501\nRRULE:FREQ=HOURLY;COUNT=3"), "more often than daily"),
        (ics("DTSTART;VALUE=DATE:20260501\nRRULE:FREQ=DAILY"), "more than 10000"),
        (ics("DTSTART;VALUE=DATE:20260501\nRRULE:FREQ=DAILY;COUNT=99999999"), "more than 10000"),
        (ics("DTSTART;VALUE=DATE:20260501\nRRULE:FREQ=DAILY;INTERVAL=0"), "interval"),
        (ics("DTSTART;VALUE=DATE:20260501\nRRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"), "on no day"),
        (ics("DTSTART;VALUE=DATE:20260501\nRRULE:FREQ=NONSENSE"), "cannot be read"),
        (ics(*["DTSTART;VALUE=DATE:20260501\nRRULE:FREQ=YEARLY"] * 201), "more than 200 repeated"),
        (ics("DTSTART;VALUE=DATE:20260501\nSUMMARY:" + "x" * 1_000_000), "longer than"),
    ],
    ids=lambda value: repr(value)[-60:],
)
def test_rubbish_is_refused_with_a_reason(text: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        dates_from_ics(text)
    str(caught.value).encode()
