"""Business calendars: which days are open, and why a day is closed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any

MAX_DATES = 10_000
MAX_NOTE = 200

_CODE = re.compile(r"[A-Z]{2,3}(?:-[A-Za-z0-9 _]{1,30})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarDay:
    """What a calendar says about one date of its own, before weekend and holidays."""

    open: bool
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """Open and closed days. `dates` wins over `holidays`, and both over `weekend`.

    `weekend` holds ISO weekdays (1 Monday to 7 Sunday); `holidays` is a country code of the
    holidays library, with its subdivision where there is one: `DE`, `DE-BY`.
    """

    dates: Mapping[date, CalendarDay] = field(default_factory=dict)
    weekend: frozenset[int] = frozenset()
    holidays: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "dates", MappingProxyType(dict(self.dates)))
        parts = (frozenset(self.dates.items()), self.weekend, self.holidays)
        object.__setattr__(self, "_hash", hash(parts))

    def __hash__(self) -> int:
        return int(self.__dict__["_hash"])

    def is_open(self, day: date) -> bool:
        """Whether the calendar leaves this day open."""
        own = self.dates.get(day)
        if own is not None:
            return own.open
        return day.isoweekday() not in self.weekend and not self._holiday(day)

    def note(self, day: date) -> str:
        """Why the day is as it is: its own note, the holiday's name, `weekend`, or nothing."""
        own = self.dates.get(day)
        if own is not None:
            return own.note
        return self._holiday(day) or ("weekend" if day.isoweekday() in self.weekend else "")

    def _holiday(self, day: date) -> str:
        return _holidays(self.holidays, day.year).get(day, "") if self.holidays else ""

    def with_dates(self, dates: Mapping[date, CalendarDay]) -> Calendar:
        """The same calendar with these dates added; they win over its own."""
        merged = {**self.dates, **dates}
        if len(merged) > MAX_DATES:
            raise ValueError(f"dates: more than {MAX_DATES} entries")
        return Calendar(dates=merged, weekend=self.weekend, holidays=self.holidays)

    def to_definition(self) -> dict[str, Any]:
        """The calendar as JSON: `{dates: [{date, open, note}], weekend, holidays}`."""
        return {
            "dates": [
                {"date": day.isoformat(), "open": entry.open, "note": entry.note}
                for day, entry in sorted(self.dates.items())
            ],
            "weekend": sorted(self.weekend),
            "holidays": self.holidays,
        }

    @classmethod
    def from_definition(cls, definition: object) -> Calendar:
        """Read what `to_definition` wrote; raises ValueError that names the wrong field."""
        if not isinstance(definition, Mapping):
            raise ValueError("calendar must be an object")
        unknown = sorted(ascii(key) for key in definition if key not in _FIELDS)
        if unknown:
            raise ValueError(f"unknown field {unknown[0][:80]}")
        return cls(
            dates=_read_dates(definition.get("dates")),
            weekend=_read_weekend(definition.get("weekend")),
            holidays=_read_holidays(definition.get("holidays")),
        )


_FIELDS = ("dates", "weekend", "holidays")


def _read_dates(entries: object) -> dict[date, CalendarDay]:
    dates: dict[date, CalendarDay] = {}
    for number, entry in enumerate(_read_list(entries, "dates", limit=MAX_DATES)):
        name = f"dates.{number}"
        day, read = _read_day(entry, name)
        if day in dates:
            raise ValueError(f"{name}.date: {day} is there twice")
        dates[day] = read
    return dates


def _read_day(entry: object, name: str) -> tuple[date, CalendarDay]:
    if not isinstance(entry, Mapping):
        raise ValueError(f"{name}: must be an object")
    for key in entry:
        if key not in ("date", "open", "note"):
            raise ValueError(f"{name}: unknown field {ascii(key)[:80]}")
    is_open, note = entry.get("open", False), entry.get("note")
    if not isinstance(is_open, bool):
        raise ValueError(f"{name}.open: must be true or false")
    if note is not None and (not isinstance(note, str) or len(note) > MAX_NOTE):
        raise ValueError(f"{name}.note: must be text of at most {MAX_NOTE} characters")
    return _read_date(entry.get("date"), f"{name}.date"), CalendarDay(open=is_open, note=note or "")


def _read_date(value: object, name: str) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    raise ValueError(f"{name}: must be a date as 2026-12-24")


def _read_weekend(entries: object) -> frozenset[int]:
    days = _read_list(entries, "weekend", limit=7)
    if not all(type(day) is int and 1 <= day <= 7 for day in days):
        raise ValueError("weekend: must be weekdays from 1 (Monday) to 7 (Sunday)")
    return frozenset(day for day in days if isinstance(day, int))


def _read_list(value: object, name: str, *, limit: int) -> Iterable[object]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple | set | frozenset):
        raise ValueError(f"{name}: must be a list")
    if len(value) > limit:
        raise ValueError(f"{name}: more than {limit} entries")
    return value


def _read_holidays(code: object) -> str | None:
    if code is None or code == "":
        return None
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        raise ValueError("holidays: must be a country code as DE or DE-BY")
    _holidays(code, 2026)
    return code


@lru_cache(maxsize=2048)
def _holidays(code: str, year: int) -> Mapping[date, str]:
    """The public holidays of one year; none in years that the library does not know."""
    # Imported late: half a second that only jobs with such a calendar should pay.
    from holidays import list_supported_countries
    from holidays.utils import country_holidays

    country, _, part = code.partition("-")
    known = list_supported_countries(include_aliases=True)
    if country not in known:
        raise ValueError(f"holidays: unknown country {country!a}")
    try:
        return dict(country_holidays(country, subdiv=part or None, years=year, language="en_US"))
    except NotImplementedError:
        raise ValueError(f"holidays: unknown part {part!a} of {country}") from None
