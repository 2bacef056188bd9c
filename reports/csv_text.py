"""Values as the text of a CSV file: RFC 4180, harmless in a spreadsheet. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from web.moments import format_moment

_TO_QUOTE = re.compile(r'[",\r\n]')
# What a spreadsheet takes for the start of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def stamp(moment: datetime) -> str:
    """A moment (aware) for file names: UTC with milliseconds, as `2025-07-20T10-18-00-150Z`.

    >>> stamp(datetime.fromisoformat("2025-07-20T12:18:00.150999+02:00"))
    '2025-07-20T10-18-00-150Z'
    """
    return re.sub(r"[:.]", "-", iso_time(moment))


def iso_time(moment: datetime) -> str:
    """A moment (aware, else ValueError) as ISO 8601, as `2025-07-20T10:18:00.150Z`."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
    return format_moment(moment)


def cell(value: Any) -> str:
    """One value as a CSV cell: text is guarded against formulas and quoted where it must be.

    Numbers stay numbers: only text that starts like a formula gets the leading `'`.

    >>> cell("=1+1, two")
    '"\\'=1+1, two"'
    >>> cell(Decimal("-5.00"))
    '-5.00'
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return iso_time(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, int | float | date):
        return str(value)
    return _text(str(value))


def _text(value: str) -> str:
    if value.startswith(_FORMULA):
        value = "'" + value
    if _TO_QUOTE.search(value):
        return '"' + value.replace('"', '""') + '"'
    return value


def line(cells: Sequence[Any]) -> str:
    """Values as one line of a CSV file, its end included."""
    text = ",".join([cell(value) for value in cells])
    # an empty line would read back as no row at all
    return (text or '""') + "\n"
