"""Whatever a person types is accepted or refused with a reason, quickly, at the call itself."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from itertools import islice
from typing import Any

import pytest

from jobs.timing import Schedule, check_cron, check_zone, fire_times, next_occurrence, occurrences

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BUDGET = 0.05


def label(value: object) -> str:
    """The same name in every process, so that tests can be shared out."""
    return type(value).__name__ if type(value) is object or isinstance(value, tzinfo) else repr(value)[:40]


BAD_CRONS: list[Any] = [
    None,
    b"* * * * *",
    5,
    5.0,
    [],
    {},
    object(),
    "",
    " ",
    "\t",
    " " * 1_000_000,
    "* " * 500_000,
    "x" * 10_000,
    "9" * 5_000 + " * * * *",
    ("9" * 200) + " * * * *",
    "*/" + "9" * 200 + " * * * *",
    "1," * 5_000 + "1 * * * *",
    "0,1," * 60 + " * * * *",
    "-1 * * * *",
    "+1 * * * *",
    "1.5 * * * *",
    "1e1 * * * *",
    "0x1 * * * *",
    "1_0 * * * *",
    "60 * * * *",
    "* 24 * * *",
    "* * 0 * *",
    "* * 32 * *",
    "* * * 0 *",
    "* * * 13 *",
    "* * * * 8",
    "60 * * * * *",
    "*/0 * * * *",
    "*/-1 * * * *",
    "*/10000 * * * *",
    "*/ * * * *",
    "/5 * * * *",
    "1- * * * *",
    "-5 * * * *",
    "1-2-3 * * * *",
    "1--2 * * * *",
    "*-5 * * * *",
    "5-* * * * *",
    "1/2/3 * * * *",
    ", * * * *",
    "1,,2 * * * *",
    "1, * * * *",
    "** * * * *",
    "*5 * * * *",
    "? * * * *",
    "* ? * * *",
    "* * ?,5 * *",
    "* * ?/2 * *",
    "* * * ? *",
    "JAN * * * *",
    "* * * MON *",
    "* * * * JAN",
    "* * * JANUARY *",
    "* * * * MO",
    "* * * * MON#0",
    "* * * * MON#6",
    "* * * * MON#",
    "* * * * #1",
    "* * * * 8#1",
    "* * * * MON#1-2",
    "* * * * MON-FRI#2",
    "* * L * L",
    "* * L/2 * *",
    "* * 1-L * *",
    "* L * * *",
    "* * W * *",
    "* * 15W,1 * *",
    "* * 1-5W * *",
    "* * * * 5W",
    "@DAILY",
    "@Daily",
    "@reboot",
    "@every 5m",
    "@",
    "@daily @daily",
    "@daily * * * *",
    "* * * *",
    "* * * * * * *",
    "0 0 1 1 * 2099",
    "*\n* * * *",
    "* * * * *\n",
    "*\xa0* * * *",
    "*\u3000* * * *",
    "\u0661 * * * *",
    "\uff11 * * * *",
    "\u00b2 * * * *",
    "\x00 * * * *",
    "\ud800 * * * *",
    "\U0001f600 * * * *",
    "* * * \u017fep *",
    "* * * * \u017fun",
    "0 0 30 2 *",
    "0 0 31 2,4,6,9,11 *",
]


@pytest.mark.parametrize("expression", BAD_CRONS, ids=label)
def test_a_bad_expression_is_refused_with_a_reason(expression: Any) -> None:
    for ask in (check_cron, lambda text: fire_times(text, "UTC", NOW)):
        with pytest.raises(ValueError, match=r"\S") as caught:
            ask(expression)
        assert type(caught.value) is ValueError
        assert len(str(caught.value)) < 300
        str(caught.value).encode()


GOOD_CRONS = [
    "* * * * *",
    "0 0 29 2 *",
    "  0\t0  * * *  ",
    "00 05 * * *",
    "*/9999 * * * *",
    "0-59/1 0-23/1 1-31/1 1-12/1 0-7/1",
    ",".join(map(str, range(60))) + " * * * *",
    "0 0 * 2 MON#5",
    "0 0 ? * ?",
    "* * L,1,15 * *",
    "* * * * 7L",
    "* * * * 7#1",
]


@pytest.mark.parametrize("expression", GOOD_CRONS)
def test_a_good_expression_is_accepted(expression: str) -> None:
    assert len(list(islice(fire_times(expression, "Europe/Berlin", NOW), 3))) == 3


@pytest.mark.parametrize("expression", [*BAD_CRONS, *GOOD_CRONS], ids=label)
def test_the_verdict_takes_at_most_50_milliseconds(expression: Any) -> None:
    """CPU time, best of three, so that a busy machine does not decide."""
    spent = []
    for _ in range(3):
        begun = time.process_time()
        try:
            next(fire_times(expression, "Europe/Berlin", NOW))
        except ValueError:
            pass
        spent.append(time.process_time() - begun)
    assert min(spent) <= BUDGET


class Broken(tzinfo):
    """A tzinfo that was never finished."""


class Raising(tzinfo):
    """A tzinfo with a fault."""

    def utcoffset(self, moment: datetime | None) -> timedelta:
        raise RuntimeError("no")

    fromutc = dst = tzname = utcoffset  # type: ignore[assignment]


BROKEN: Any = Broken


@pytest.mark.parametrize(
    "zone",
    [
        None,
        5,
        b"UTC",
        "",
        " ",
        "UTC ",
        "Europe",
        "Europe/",
        "Europe/Berln",
        "europe/berlin/x/y/z",
        "../../etc/passwd",
        "/etc/localtime",
        "Europe/../UTC",
        "posix/UTC",
        "right/UTC",
        "localtime",
        "posixrules",
        "Factory",
        "zone.tab",
        "tzdata.zi",
        "U" * 100_000,
        "UTC\x00",
        "\ud800",
        "+01:00",
        BROKEN(),
        Raising(),
        datetime,
    ],
    ids=label,
)
def test_a_bad_zone_is_refused_with_a_reason(zone: Any) -> None:
    with pytest.raises(ValueError, match="zone") as caught:
        fire_times("* * * * *", zone, NOW)
    str(caught.value).encode()
    with pytest.raises(ValueError, match="zone"):
        check_zone(zone)


@pytest.mark.parametrize(
    "name", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "EST5EDT"]
)
def test_a_good_zone_is_accepted(name: str) -> None:
    check_zone(name)


@pytest.mark.parametrize(
    "after",
    [
        None,
        "2026-01-01",
        0,
        date(2026, 1, 1),
        datetime(2026, 1, 1),
        datetime(2026, 1, 1, tzinfo=BROKEN()),
        datetime(2026, 1, 1, tzinfo=Raising()),
    ],
    ids=["none", "text", "number", "date", "naive", "broken zone", "raising zone"],
)
def test_a_start_that_is_no_aware_datetime_is_refused(after: Any) -> None:
    with pytest.raises(ValueError, match="after"):
        fire_times("* * * * *", "UTC", after)
    with pytest.raises(ValueError, match="after"):
        occurrences(Schedule(expression="* * * * *"), after)
    with pytest.raises(ValueError, match="after"):
        next_occurrence(Schedule(expression="* * * * *"), after)


@pytest.mark.parametrize(
    "zone", ["UTC", "Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago"]
)
@pytest.mark.parametrize("expression", ["* * * * * *", "0 0 31 12 *", "30 2 * * *", "0 0 29 2 *"])
def test_iteration_ends_where_datetimes_end(zone: str, expression: str) -> None:
    edge = datetime(9999, 12, 31, 23, 59, 50, tzinfo=UTC)
    assert len(list(fire_times(expression, zone, edge))) <= 9
    assert list(fire_times(expression, zone, datetime.max.replace(tzinfo=UTC))) == []
    west = datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))
    assert list(fire_times(expression, zone, west)) == []


def test_the_last_minutes_of_time_all_fire() -> None:
    edge = datetime(9999, 12, 31, 23, 56, 30, tzinfo=UTC)
    assert [at.minute for at in fire_times("* * * * *", "UTC", edge)] == [57, 58, 59]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Pacific/Kiritimati"])
def test_iteration_begins_where_datetimes_begin(zone: str) -> None:
    for tz in (UTC, timezone(timedelta(hours=12)), timezone(timedelta(hours=-12))):
        fires = list(islice(fire_times("0 12 * * *", zone, datetime.min.replace(tzinfo=tz)), 3))
        assert fires[0].year == 1
        assert fires == sorted(set(fires))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"kind": "weekly"}, "kind"),
        ({"kind": []}, "kind"),
        ({"kind": "cron"}, "cron expression must be text"),
        ({"kind": "cron", "expression": ["*"]}, "cron expression must be text"),
        ({"kind": "cron", "expression": "bad"}, "5 or 6 fields"),
        ({"kind": "one_time"}, "needs an anchor"),
        ({"kind": "one_time", "anchor": datetime(2026, 1, 1)}, "anchor must be aware"),
        ({"kind": "one_time", "anchor": "2026-01-01"}, "anchor must be a datetime"),
        ({"kind": "recurring", "anchor": NOW}, "pattern"),
        ({"kind": "recurring", "anchor": NOW, "pattern": "yearly"}, "pattern"),
        ({"kind": "recurring", "pattern": "daily"}, "needs an anchor"),
        ({"expression": "* * * * *", "zone": "Nowhere"}, "unknown time zone"),
        ({"expression": "* * * * *", "zone": None}, "time zone"),
        ({"expression": "* * * * *", "shift": "sideways"}, "shift"),
        ({"expression": "* * * * *", "calendar": {}}, "calendar"),
        ({"expression": "* * * * *", "start_at": datetime(2026, 1, 1)}, "start_at must be aware"),
        ({"expression": "* * * * *", "start_at": NOW, "end_at": NOW - timedelta(days=1)}, "end_at"),
    ],
)
def test_a_bad_schedule_is_refused_with_a_reason(fields: dict[str, Any], reason: str) -> None:
    schedule = Schedule(**fields)
    for ask in (Schedule.check, lambda each: occurrences(each, NOW), lambda each: next_occurrence(each, NOW)):
        with pytest.raises(ValueError, match=reason):
            ask(schedule)
