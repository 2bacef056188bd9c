"""Times on the wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from web.moments import format_moment, parse_moment, parse_since, parse_until


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-20T10:00:00Z", datetime(2026, 1, 20, 10, tzinfo=UTC)),
        ("2026-01-20t10:00:00z", datetime(2026, 1, 20, 10, tzinfo=UTC)),
        ("2026-01-20 10:00:00+02:00", datetime(2026, 1, 20, 8, tzinfo=UTC)),
        ("2026-01-20T10:00:00-23:59", datetime(2026, 1, 21, 9, 59, tzinfo=UTC)),
        ("2026-01-20T10:00:00", datetime(2026, 1, 20, 10, tzinfo=UTC)),
        ("2026-01-20T10:00", datetime(2026, 1, 20, 10, tzinfo=UTC)),
        ("2026-01-20T10:00:00.5Z", datetime(2026, 1, 20, 10, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-01-20T10:00:00.123456789Z", datetime(2026, 1, 20, 10, 0, 0, 123_456, tzinfo=UTC)),
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
        ("9998-12-31T23:59:59.999Z", datetime(9998, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)),
        ("1969-12-31T23:00:00-01:00", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_every_rfc_3339_form_is_read(text: str, moment: datetime) -> None:
    assert parse_moment(text) == moment
    assert parse_moment(text).utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-01-20",
        "20260120T100000Z",
        "2026-W04-2T10:00:00Z",
        "2026-02-30T10:00:00Z",
        "2026-01-20T25:00:00Z",
        "2026-01-20T10:00:60Z",
        "2026-01-20T10:00:00+24:00",
        "2026-01-20T10:00:00+0200",
        "2026-01-20T10:00.5Z",
        "1969-12-31T23:59:59Z",
        "9999-01-01T00:00:00Z",
        "9999-12-31T23:59:59-12:00",
        "0001-01-01T00:00:00+12:00",
        "10000-01-01T00:00:00Z",
        "infinity",
        "٢٠٢٦-01-20T10:00:00Z",
        "2026-01-20T10:00:00Z\n",
        "2026-01-20T10:00:00." + "1" * 100 + "Z",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_moment(text)


def test_a_bare_date_in_a_filter_is_that_whole_utc_day() -> None:
    assert parse_since("2026-01-20") == datetime(2026, 1, 20, tzinfo=UTC)
    assert parse_until("2026-01-20") == datetime(2026, 1, 21, tzinfo=UTC)


def test_an_end_in_milliseconds_covers_all_that_is_shown_as_that_millisecond() -> None:
    end = parse_until("2026-01-20T10:00:00.123Z")
    assert end == datetime(2026, 1, 20, 10, 0, 0, 124_000, tzinfo=UTC)
    assert parse_until("2026-01-20T10:00:00.123456Z") == datetime(2026, 1, 20, 10, 0, 0, 123_457, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2026-02-30", "1969-12-31", "9999-01-01"])
def test_a_day_that_does_not_exist_or_is_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_since(text)
    with pytest.raises(ValueError):
        parse_until(text)


def test_times_are_written_in_utc_with_milliseconds() -> None:
    assert format_moment(datetime(2026, 1, 20, 10, tzinfo=UTC)) == "2026-01-20T10:00:00.000Z"
    east = timezone(timedelta(hours=2))
    assert format_moment(datetime(2026, 1, 20, 10, 0, 0, 999_999, tzinfo=east)) == "2026-01-20T08:00:00.999Z"
