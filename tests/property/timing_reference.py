"""A second, slow answer to "when": sets of wall times, walked minute by minute.

It shares nothing with the code it checks: fields are generated together with the numbers they
mean, and a zone is asked for the local time of every minute (or second) of a few days.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)

# Zones, and moments at or near which their clocks change (or famously do not).
MOMENTS = [
    ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2021, 4, 3, 14, tzinfo=UTC)),
    ("America/Sao_Paulo", datetime(2018, 11, 4, 3, tzinfo=UTC)),
    ("America/Sao_Paulo", datetime(2019, 2, 17, 2, tzinfo=UTC)),
    ("Asia/Kathmandu", datetime(1985, 12, 31, 18, 30, tzinfo=UTC)),
    ("Asia/Kathmandu", datetime(2026, 5, 1, tzinfo=UTC)),
    ("Antarctica/Troll", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Antarctica/Troll", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("Africa/Casablanca", datetime(2026, 2, 15, 2, tzinfo=UTC)),
    ("Africa/Casablanca", datetime(2026, 3, 22, 2, tzinfo=UTC)),
    ("Africa/Cairo", datetime(2026, 4, 23, 22, tzinfo=UTC)),
    ("Africa/Cairo", datetime(2026, 10, 29, 21, tzinfo=UTC)),
    ("America/Havana", datetime(2026, 3, 8, 5, tzinfo=UTC)),
    ("America/Havana", datetime(2026, 11, 1, 5, tzinfo=UTC)),
    ("America/Santiago", datetime(2026, 9, 6, 4, tzinfo=UTC)),
    ("America/St_Johns", datetime(2026, 11, 1, 4, 30, tzinfo=UTC)),
    ("Pacific/Chatham", datetime(2026, 9, 26, 14, tzinfo=UTC)),
    ("Pacific/Kwajalein", datetime(1993, 8, 21, 12, tzinfo=UTC)),
    ("Asia/Manila", datetime(1844, 12, 30, 15, tzinfo=UTC)),
    ("America/Juneau", datetime(1867, 10, 18, 23, tzinfo=UTC)),
    ("Atlantic/Azores", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("Europe/Dublin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Asia/Pyongyang", datetime(2018, 5, 4, 15, tzinfo=UTC)),
    ("Africa/Monrovia", datetime(1972, 1, 7, 0, 44, 30, tzinfo=UTC)),
    ("UTC", datetime(2026, 2, 28, 23, tzinfo=UTC)),
]


class MadeZone(tzinfo):
    """A zone whose offset (minutes) changes at given instants: (instant, offset), in order."""

    def __init__(self, first: int, changes: list[tuple[datetime, int]]) -> None:
        self.first = first
        self.changes = changes

    def fromutc(self, moment: datetime) -> datetime:
        at = moment.replace(tzinfo=UTC)
        passed = [offset for change, offset in self.changes if change <= at]
        return at.astimezone(timezone(timedelta(minutes=passed[-1] if passed else self.first)))

    def utcoffset(self, moment: datetime | None) -> timedelta:
        raise NotImplementedError("nobody asks a zone for a wall time")

    dst = tzname = utcoffset  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"MadeZone({self.first}, {[(f'{at:%F %T}', offset) for at, offset in self.changes]})"


@dataclass(frozen=True)
class CronCase:
    """An expression, and what its fields mean, known without reading it."""

    expression: str
    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    on_day: Callable[[date], bool]
    follows_clock: bool

    def names(self, wall: datetime) -> bool:
        """Whether the expression names this wall time (to the second)."""
        return (
            wall.second in self.seconds
            and wall.minute in self.minutes
            and wall.hour in self.hours
            and self.on_day(wall.date())
        )


@dataclass(frozen=True)
class FieldCase:
    """A field's text and the numbers it names, or for a day field a test of dates."""

    text: str
    numbers: frozenset[int] = frozenset()
    on_day: Callable[[date], bool] | None = None

    @property
    def is_star(self) -> bool:
        return self.text in ("*", "?", "*/1")


def numbers_field(low: int, high: int, names: tuple[str, ...] = ()) -> st.SearchStrategy[FieldCase]:
    """Texts of a field from `low` to `high` with the numbers they name."""

    def spelled(number: int, as_name: bool) -> str:
        return names[number - low].swapcase() if names and as_name else str(number)

    def one(number: int, as_name: bool) -> FieldCase:
        return FieldCase(spelled(number, as_name), frozenset({number}))

    def stretch(first: int, last: int, step: int, as_name: bool) -> FieldCase:
        around = range(first, last + 1) if first <= last else [*range(first, high + 1), *range(low, last + 1)]
        text = f"{spelled(first, as_name)}-{spelled(last, not as_name)}"
        return FieldCase(text if step == 1 else f"{text}/{step}", frozenset(list(around)[::step]))

    def every(step: int) -> FieldCase:
        return FieldCase("*" if step == 1 else f"*/{step}", frozenset(range(low, high + 1)[::step]))

    def onward(first: int, step: int) -> FieldCase:
        return FieldCase(f"{first}/{step}", frozenset(range(first, high + 1)[::step]))

    number, step = st.integers(low, high), st.integers(1, high + 3)
    item = st.one_of(
        st.builds(one, number, st.booleans()),
        st.builds(stretch, number, number, st.one_of(st.just(1), step), st.booleans()),
        st.builds(onward, number, step),
    )
    listed = st.lists(item, min_size=1, max_size=4).map(
        lambda items: FieldCase(
            ",".join(each.text for each in items),
            frozenset().union(*(each.numbers for each in items)),
        )
    )
    return st.one_of(listed, st.builds(every, step), st.just(every(1)))


def _in_month_days(case: FieldCase) -> FieldCase:
    return FieldCase(case.text, case.numbers, lambda day: day.day in case.numbers)


def _on_weekdays(case: FieldCase) -> FieldCase:
    return FieldCase(case.text, case.numbers, lambda day: day.isoweekday() % 7 in case.numbers)


def _last_of_month() -> FieldCase:
    return FieldCase("L", on_day=lambda day: day.day == monthrange(day.year, day.month)[1])


def _nearest(number: int) -> FieldCase:
    def on_day(day: date) -> bool:
        wanted = day.replace(day=number)
        candidates = [day.replace(day=each) for each in range(1, monthrange(day.year, day.month)[1] + 1)]
        weekdays = [each for each in candidates if each.isoweekday() < 6]
        return day == min(weekdays, key=lambda each: (abs(each - wanted), each))

    return FieldCase(f"{number}W", on_day=on_day)


def _nth(weekday: int, number: int, seven: bool) -> FieldCase:
    text = f"{7 if seven and weekday == 0 else weekday}#{number}"
    return FieldCase(
        text, on_day=lambda day: day.isoweekday() % 7 == weekday and (day.day - 1) // 7 == number - 1
    )


def _last_weekday(weekday: int, spelling: str) -> FieldCase:
    def on_day(day: date) -> bool:
        return day.isoweekday() % 7 == weekday and (day + timedelta(days=7)).month != day.month

    return FieldCase(spelling.format(weekday), on_day=on_day)


_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def _union(cases: list[FieldCase]) -> FieldCase:
    tests = [case.on_day for case in cases if case.on_day is not None]
    text = ",".join(case.text for case in cases)
    return FieldCase(text, on_day=lambda day: any(test(day) for test in tests))


monthday_fields = st.one_of(
    st.just(FieldCase("*", on_day=lambda day: True)),
    st.just(FieldCase("?", on_day=lambda day: True)),
    numbers_field(1, 31).map(_in_month_days),
    st.just(_last_of_month()),
    st.integers(1, 28).map(_nearest),
    numbers_field(1, 31).map(_in_month_days).map(lambda case: _union([case, _last_of_month()])),
)
_weekday_rules = st.one_of(
    st.builds(_nth, st.integers(0, 6), st.integers(1, 5), st.booleans()),
    st.builds(_last_weekday, st.integers(0, 6), st.sampled_from(["{}L", "{}#L"])),
)
_plain_weekdays = numbers_field(0, 6, _WEEKDAYS).map(_on_weekdays)
weekday_fields = st.one_of(
    st.just(FieldCase("*", on_day=lambda day: True)),
    st.just(FieldCase("?", on_day=lambda day: True)),
    _plain_weekdays,
    _weekday_rules,
    st.lists(st.one_of(_plain_weekdays, _weekday_rules), min_size=2, max_size=3).map(_union),
)


@st.composite
def cron_cases(draw: st.DrawFn, *, seconds: bool = False) -> CronCase:
    """Random expressions with their meaning; six fields where `seconds`."""
    second = draw(numbers_field(0, 59)) if seconds else FieldCase("0", frozenset({0}))
    minute, hour = draw(numbers_field(0, 59)), draw(numbers_field(0, 23))
    # Most clock changes are at night: more often than chance would, fire there.
    if draw(st.booleans()):
        hour = draw(
            st.sampled_from([FieldCase("*", frozenset(range(24))), FieldCase("0-4", frozenset(range(5)))])
        )
    month = draw(st.one_of(st.just(FieldCase("*", frozenset(range(1, 13)))), numbers_field(1, 12, _MONTHS)))
    monthday, weekday = draw(monthday_fields), draw(weekday_fields)
    return CronCase(
        expression=" ".join(
            field.text for field in ([second] * seconds + [minute, hour, monthday, month, weekday])
        ),
        seconds=second.numbers,
        minutes=minute.numbers,
        hours=hour.numbers,
        on_day=_day_test(monthday, month, weekday),
        follows_clock=minute.text.startswith("*") or hour.text.startswith("*"),
    )


def _day_test(monthday: FieldCase, month: FieldCase, weekday: FieldCase) -> Callable[[date], bool]:
    def is_open(field: FieldCase) -> bool:
        return any(item in ("*", "?", "*/1") for item in field.text.split(","))

    tests = [field.on_day for field in (monthday, weekday) if not is_open(field)]

    def on_day(day: date) -> bool:
        either = not tests or any(test is not None and test(day) for test in tests)
        return day.month in month.numbers and either

    return on_day


def reference_fires(
    case: CronCase, zone: str | tzinfo, *, start: datetime, stop: datetime, step: timedelta = MINUTE
) -> list[datetime]:
    """All fire times from `start` to before `stop`, by definition.

    A wildcard schedule fires at every instant whose local time it names. Any other fires for
    each wall time once: at the first instant at which the clock shows that time or a later one.
    The walk begins a day and a half early, so that no first pass is overlooked.
    """
    instants = []
    at = start - timedelta(hours=36)
    tz = ZoneInfo(zone) if isinstance(zone, str) else zone
    while at < stop:
        instants.append((at, at.astimezone(tz).replace(tzinfo=None)))
        at += step
    if case.follows_clock:
        return [at for at, wall in instants if at >= start and case.names(wall)]
    fires = set()
    shown = instants[0][1]
    for at, wall in instants:
        while shown < wall:
            shown += step
            if case.names(shown):
                fires.add(at)
    return sorted(at for at in fires if at >= start)
