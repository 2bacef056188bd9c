"""Reading cron text: our own grammar, which leaves nothing to a library's guess.

Each field becomes a plain sorted list of numbers; what cannot be a list (`L`, `15W`, `FRI#2`,
`5L`) is kept apart, one item at a time. The reasons in the errors are for whoever typed it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_LENGTH = 256

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")

_RANGE = re.compile(r"(\*|[0-9]+|[A-Z]+)(?:-([0-9]+|[A-Z]+))?(?:/([0-9]+))?")
_NEAREST = re.compile(r"([0-9]+)W")
_NTH = re.compile(r"([0-9]+|[A-Z]{3})#([0-9]+|L)")
_LAST = re.compile(r"([0-9]+|[A-Z]{3})L")


@dataclass(frozen=True, slots=True)
class FieldKind:
    """What a field may hold: its name, bounds, and the three-letter names of its numbers."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    is_day: bool = False

    @property
    def is_weekday(self) -> bool:
        return self.name == "weekday"


SECOND = FieldKind("second", 0, 59)
MINUTE = FieldKind("minute", 0, 59)
HOUR = FieldKind("hour", 0, 23)
MONTHDAY = FieldKind("day-of-month", 1, 31, is_day=True)
MONTH = FieldKind("month", 1, 12, names=_MONTHS)
WEEKDAY = FieldKind("weekday", 0, 6, names=_WEEKDAYS, is_day=True)
_KINDS = (SECOND, MINUTE, HOUR, MONTHDAY, MONTH, WEEKDAY)


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its text, its numbers, and its day rules in the spelling croniter reads."""

    text: str
    numbers: tuple[int, ...]
    rules: tuple[str, ...] = ()
    is_open: bool = False

    @property
    def starts_with_star(self) -> bool:
        return self.text.startswith("*")


@dataclass(frozen=True, slots=True)
class Fields:
    """The six fields of an expression; `six` tells whether the seconds were written."""

    second: Field
    minute: Field
    hour: Field
    monthday: Field
    month: Field
    weekday: Field
    six: bool


def read_fields(expression: object) -> Fields:
    """Take a cron expression apart; raises ValueError with the reason for anything not in it."""
    if not isinstance(expression, str):
        kind = "nothing" if expression is None else type(expression).__name__
        raise ValueError(f"cron expression must be text, not {kind}")
    if len(expression) > MAX_LENGTH:
        raise ValueError(f"cron expression is longer than {MAX_LENGTH} characters")
    words = re.split("[ \t]+", expression.strip(" \t"))
    if words[0].startswith("@"):
        words = _read_alias(words).split(" ")
    if words == [""]:
        raise ValueError("cron expression is empty")
    if len(words) not in (5, 6):
        raise ValueError(f"cron expression must have 5 or 6 fields, not {len(words)}")
    six = len(words) == 6
    texts = words if six else ["0", *words]
    read = [_read_field(text, kind) for text, kind in zip(texts, _KINDS, strict=True)]
    second, minute, hour, monthday, month, weekday = read
    return Fields(second, minute, hour, monthday, month, weekday, six)


def _read_alias(words: list[str]) -> str:
    known = ALIASES.get(words[0])
    if known is None or len(words) > 1:
        names = ", ".join(ALIASES)
        raise ValueError(f"unknown alias {_shown(' '.join(words))} (known, in lower case: {names})")
    return known


def _read_field(text: str, kind: FieldKind) -> Field:
    numbers: set[int] = set()
    rules: list[str] = []
    is_open = False
    upper = text.upper() if text.isascii() else text
    items = upper.split(",")
    for item in items:
        rule = _read_rule(item, kind)
        if rule is not None:
            rules.append(rule)
        elif text == "?" and kind.is_day:
            is_open = True
        else:
            numbers.update(_read_range(item, kind))
            is_open = is_open or item in ("*", "*/1")
    if len(items) > 1 and any(rule.endswith("W") for rule in rules):
        raise ValueError(f"{kind.name} field: 'W' must stand alone, not in a list")
    return Field(text=upper, numbers=tuple(sorted(numbers)), rules=tuple(rules), is_open=is_open)


def _read_rule(item: str, kind: FieldKind) -> str | None:
    """A day rule that is no list of numbers, in croniter's spelling; None for other items."""
    if kind is MONTHDAY:
        if item == "L":
            return "L"
        if match := _NEAREST.fullmatch(item):
            day = _read_number(match[1], kind, item)
            if day > 28:
                raise ValueError(
                    f"{kind.name} field: {_shown(item)}: W takes a day from 1 to 28 "
                    "(later days are missing in some months)"
                )
            return f"{day}W"
    if kind is WEEKDAY:
        if match := _LAST.fullmatch(item):
            return f"L{_read_number(match[1], kind, item) % 7}"
        if match := _NTH.fullmatch(item):
            day = _read_number(match[1], kind, item) % 7
            if match[2] != "L" and match[2] not in ("1", "2", "3", "4", "5"):
                raise ValueError(f"{kind.name} field: {_shown(item)}: # takes 1 to 5, or L")
            return f"L{day}" if match[2] == "L" else f"{day}#{match[2]}"
    return None


def _read_range(item: str, kind: FieldKind) -> list[int]:
    match = _RANGE.fullmatch(item)
    if match is None or (match[1] == "*" and match[2]):
        raise ValueError(f"{kind.name} field: {_explain(item, kind)}")
    step = _read_step(match[3], kind, item)
    if match[1] == "*":
        return list(range(kind.low, kind.high + 1))[::step]
    low = _read_number(match[1], kind, item)
    if match[2] is None:
        return _onward(low, kind)[::step] if match[3] else [_folded(low, kind)]
    return _stretch(low, _read_number(match[2], kind, item), kind)[::step]


def _onward(low: int, kind: FieldKind) -> list[int]:
    """The numbers from low to the end of the field; from Sunday written as 7, just that day."""
    return list(range(low, kind.high + 1)) or [_folded(low, kind)]


def _stretch(low: int, high: int, kind: FieldKind) -> list[int]:
    """The numbers from low to high, around the end of the field where low is the larger."""
    if low == high:
        return [_folded(low, kind)]
    low = _folded(low, kind)
    if kind.is_weekday and high == 7:
        # Sunday as the end of a range (5-7); 0-7 is the whole week.
        return [*range(low, 7), *([0] if low else [])]
    if low <= high:
        return list(range(low, high + 1))
    return [*range(low, kind.high + 1), *range(kind.low, high + 1)]


def _folded(number: int, kind: FieldKind) -> int:
    """The number as the field counts it: Sunday may be written as 7."""
    return 0 if kind.is_weekday and number == 7 else number


def _read_number(word: str, kind: FieldKind, item: str) -> int:
    """A number or name of the field, in bounds (weekday 7 is left as 7)."""
    if word.isalpha():
        if word in kind.names:
            return kind.names.index(word) + kind.low
        raise ValueError(f"{kind.name} field: {_explain(item, kind)}")
    high = 7 if kind.is_weekday else kind.high
    if len(word) > 4 or not kind.low <= int(word) <= high:
        raise ValueError(
            f"{kind.name} field: {_shown(item)}: {_cut(word)} is not between {kind.low} and {high}"
        )
    return int(word)


def _read_step(word: str | None, kind: FieldKind, item: str) -> int:
    if word is None:
        return 1
    if len(word) > 4 or not 1 <= int(word) <= 9999:
        raise ValueError(f"{kind.name} field: {_shown(item)}: a step must be from 1 to 9999")
    return int(word)


def _explain(item: str, kind: FieldKind) -> str:
    """Why an item cannot be read, in the words of whoever typed it."""
    if not item:
        return "an item of the list is empty"
    shown = _shown(item)
    if item[0] in "RH" and not item[1:2].isalpha():
        return f"{shown}: random or hashed values ({item[0]}) would differ with every reading"
    if item == "LW":
        return f"{shown}: the last weekday of the month cannot be written"
    if kind is MONTHDAY and item.startswith("L-"):
        return f"{shown}: days before the last cannot be written"
    if kind.is_weekday and item == "L":
        return f"{shown} needs a weekday here, as 5L or FRI#L"
    if item == "?":
        return "'?' must stand alone" if kind.is_day else "'?' is for the day fields only"
    return f"{shown} cannot be read"


def _shown(item: str) -> str:
    return ascii(_cut(item))


def _cut(word: str) -> str:
    return word if len(word) <= 40 else word[:40] + "..."
