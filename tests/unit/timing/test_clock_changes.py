"""Clock changes, each printed above the cases that meet it."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from jobs.timing import fire_times

Case = tuple[str, str, list[str]]


def local_fires(expression: str, zone: str, after: str, count: int) -> list[str]:
    tz = ZoneInfo(zone)
    fires = islice(fire_times(expression, zone, datetime.fromisoformat(after)), count)
    return [at.astimezone(tz).isoformat(timespec="minutes")[8:] for at in fires]


# Europe/Berlin, 29 March 2026: 01:59:59+01:00 is followed by 03:00:00+02:00 (01:00 UTC).
SPRING: list[Case] = [
    ("0 2 * * *", "2026-03-28T12:00Z", ["29T03:00+02:00", "30T02:00+02:00"]),
    ("30 2 * * *", "2026-03-28T12:00Z", ["29T03:00+02:00", "30T02:30+02:00"]),
    ("0,30 2 * * *", "2026-03-28T12:00Z", ["29T03:00+02:00", "30T02:00+02:00"]),
    ("0 2,3 * * *", "2026-03-28T12:00Z", ["29T03:00+02:00", "30T02:00+02:00"]),
    ("15 15 2 * * *", "2026-03-28T12:00Z", ["29T03:00+02:00", "30T02:15+02:00"]),
    ("0 3 * * *", "2026-03-28T12:00Z", ["29T03:00+02:00", "30T03:00+02:00"]),
    ("30 2 29 3 *", "2026-03-28T12:00Z", ["29T03:00+02:00", "29T02:30+02:00"]),
    ("0 * * * *", "2026-03-29T00:00Z", ["29T03:00+02:00", "29T04:00+02:00"]),
    ("*/30 2 * * *", "2026-03-28T12:00Z", ["30T02:00+02:00", "30T02:30+02:00"]),
    ("0 */2 * * *", "2026-03-28T23:30Z", ["29T04:00+02:00", "29T06:00+02:00"]),
    ("*/20 * * * *", "2026-03-29T00:30Z", ["29T01:40+01:00", "29T03:00+02:00"]),
    ("30 2 * * *", "2026-03-29T01:00Z", ["30T02:30+02:00", "31T02:30+02:00"]),
]

# Europe/Berlin, 25 October 2026: 02:59:59+02:00 is followed by 02:00:00+01:00 (01:00 UTC).
AUTUMN: list[Case] = [
    ("0 2 * * *", "2026-10-24T12:00Z", ["25T02:00+02:00", "26T02:00+01:00"]),
    ("30 2 * * *", "2026-10-24T12:00Z", ["25T02:30+02:00", "26T02:30+01:00"]),
    ("0 0 2 * * *", "2026-10-24T12:00Z", ["25T02:00+02:00", "26T02:00+01:00"]),
    ("30 2 * * *", "2026-10-25T00:45Z", ["26T02:30+01:00", "27T02:30+01:00"]),
    ("30 2 * * *", "2026-10-25T01:10Z", ["26T02:30+01:00", "27T02:30+01:00"]),
    ("0 3 * * *", "2026-10-24T12:00Z", ["25T03:00+01:00", "26T03:00+01:00"]),
    ("30 * * * *", "2026-10-24T23:45Z", ["25T02:30+02:00", "25T02:30+01:00", "25T03:30+01:00"]),
    ("*/30 2 * * *", "2026-10-24T12:00Z", [f"25T02:{m}+0{h}:00" for h in (2, 1) for m in ("00", "30")]),
    ("0 */2 * * *", "2026-10-24T22:30Z", ["25T02:00+02:00", "25T02:00+01:00", "25T04:00+01:00"]),
]


@pytest.mark.parametrize(("expression", "after", "expected"), SPRING + AUTUMN)
def test_berlin(expression: str, after: str, expected: list[str]) -> None:
    assert local_fires(expression, "Europe/Berlin", after, len(expected)) == expected


@pytest.mark.parametrize(
    ("zone", "expression", "after", "expected"),
    [
        # Half an hour: 4 October 2026, 02:00 becomes 02:30; 5 April 2026, 02:00 becomes 01:30.
        ("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T00:00Z", ["04T02:30+11:00", "05T02:15+11:00"]),
        ("Australia/Lord_Howe", "45 1 * * *", "2026-04-04T12:00Z", ["05T01:45+11:00", "06T01:45+10:30"]),
        ("Australia/Lord_Howe", "45 * * * *", "2026-04-04T14:00Z", ["05T01:45+11:00", "05T01:45+10:30"]),
        # A whole day is skipped: 30 December 2011.
        (
            "Pacific/Apia",
            "0 12 * * *",
            "2011-12-29T12:00Z",
            ["29T12:00-10:00", "31T00:00+14:00", "31T12:00+14:00"],
        ),
        (
            "Pacific/Apia",
            "0 */12 * * *",
            "2011-12-29T12:00Z",
            ["29T12:00-10:00", "31T00:00+14:00", "31T12:00+14:00"],
        ),
        # Midnight does not exist: 4 November 2018; it comes at the end of 16 February 2019 again.
        ("America/Sao_Paulo", "0 0 * * *", "2018-11-03T12:00Z", ["04T01:00-02:00", "05T00:00-02:00"]),
        ("America/Sao_Paulo", "30 23 * * *", "2019-02-16T12:00Z", ["16T23:30-02:00", "17T23:30-03:00"]),
        ("America/Sao_Paulo", "30 * * * *", "2019-02-17T01:00Z", ["16T23:30-02:00", "16T23:30-03:00"]),
        # A quarter of an hour: 1 January 1986.
        ("Asia/Kathmandu", "10 0 1 1 *", "1985-12-01T00:00Z", ["01T00:15+05:45", "01T00:10+05:45"]),
        # Two hours: Troll.
        ("Antarctica/Troll", "30 1 * * *", "2026-03-28T12:00Z", ["29T03:00+02:00", "30T01:30+02:00"]),
        # Back at 1 November 2026, 02:00-04:00 to 01:00-05:00.
        ("America/New_York", "30 1 * * *", "2026-10-31T12:00Z", ["01T01:30-04:00", "02T01:30-05:00"]),
        ("America/New_York", "30 2 * * *", "2026-03-07T12:00Z", ["08T03:00-04:00", "09T02:30-04:00"]),
        # Summer time pauses for Ramadan.
        ("Africa/Casablanca", "30 2 * * *", "2026-03-21T12:00Z", ["22T03:00+01:00", "23T02:30+01:00"]),
        ("Africa/Casablanca", "30 2 * * *", "2026-02-14T12:00Z", ["15T02:30+01:00", "16T02:30+00:00"]),
        # A day came twice: Kwajalein went the other way and skipped 21 August 1993.
        (
            "Pacific/Kwajalein",
            "0 6 * * *",
            "1993-08-20T12:00Z",
            ["20T06:00-12:00", "22T00:00+12:00", "22T06:00+12:00"],
        ),
    ],
)
def test_other_zones(zone: str, expression: str, after: str, expected: list[str]) -> None:
    assert local_fires(expression, zone, after, len(expected)) == expected


def test_the_next_fire_of_a_start_in_the_second_pass_lies_after_it() -> None:
    """cronsim answers with an instant before such a start: a scheduler would loop."""
    start = datetime(2026, 10, 25, 2, 10, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))
    fires = list(islice(fire_times("30 2 * * *", "Europe/Berlin", start), 2))
    assert fires[0] == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


def test_the_same_fires_come_from_every_kind_of_tzinfo() -> None:
    from dateutil import tz  # type: ignore[import-untyped]

    start = datetime(2026, 3, 28, tzinfo=UTC)
    by_name = list(islice(fire_times("30 2 * * *", "Europe/Berlin", start), 5))
    for zone in (ZoneInfo("Europe/Berlin"), tz.gettz("Europe/Berlin")):
        assert list(islice(fire_times("30 2 * * *", zone, start), 5)) == by_name
