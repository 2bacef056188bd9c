"""A schedule in words, and what is legal in it but often not meant."""

from __future__ import annotations

import re
from datetime import datetime

from cron_descriptor import ExpressionDescriptor, Options  # type: ignore[import-untyped]

from jobs.timing.cron import Cron, read_cron
from jobs.timing.grammar import HOUR, MINUTE, MONTH, MONTHDAY, SECOND, WEEKDAY, Field, FieldKind, Fields
from jobs.timing.notes import clock
from jobs.timing.schedule import Plan, Schedule, read_schedule
from jobs.timing.ticks import DAY, day_date, from_ticks, to_ticks, wall_time
from jobs.timing.zones import Piece, pieces_from, read_zone

_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_DAY_NAMES = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")

# Without a moment to start from, clock changes are looked for in a year that follows the
# zone's standing rule.
_STANDING_YEAR = 67 * 365 * DAY + 17 * DAY


def describe(schedule: Schedule) -> str:
    """The schedule in an English sentence, with its zone; ValueError when it cannot be read."""
    read_schedule(schedule)
    if schedule.kind == "cron":
        text = f"{_describe_cron(read_cron(schedule.expression))} ({schedule.zone})"
    else:
        text = _describe_anchored(schedule)
    return "; ".join([text, *_describe_limits(schedule)])


def _describe_cron(cron: Cron) -> str:
    fields = cron.fields
    days = _describe_day_lists(fields)
    any_day = bool(days) or _names_every_day(fields)
    texts = [
        _spell(field, kind)
        for field, kind in (
            (fields.second, SECOND),
            (fields.minute, MINUTE),
            (fields.hour, HOUR),
            (_ANY if any_day else fields.monthday, MONTHDAY),
            (fields.month, MONTH),
            (_ANY if any_day else fields.weekday, WEEKDAY),
        )
    ]
    options = Options(locale_code="en_US", use_24hour_time_format=True)
    try:
        expression = " ".join(texts if fields.six else texts[1:])
        words = ExpressionDescriptor(expression, options).get_full_description()
    except Exception:  # noqa: BLE001 - whatever the library cannot word is shown as it is
        return "Cron expression " + " ".join(texts if fields.six else texts[1:])
    return ", ".join(part for part in (" ".join(words.split()), days) if part)


_ANY = Field(text="*", numbers=(), is_open=True)


def _names_every_day(fields: Fields) -> bool:
    """Whether one day field holds every day, so that the other adds nothing to it."""
    monthday, weekday = fields.monthday, fields.weekday
    return not (monthday.is_open or weekday.is_open) and (
        len(monthday.numbers) == 31 or len(weekday.numbers) == 7
    )


def _spell(field: Field, kind: FieldKind) -> str:
    """A field in the spelling that the library words rightly."""
    if field.is_open:
        return "*"
    text = re.sub(r"#L\b", "L", field.text)
    stepped = re.fullmatch(r"(.+)/([0-9]+)", text)
    longer = stepped and int(stepped[2]) > kind.high - kind.low
    same = any(low == high for low, high in re.findall(r"([A-Z0-9]+)-([A-Z0-9]+)", text))
    from_one = kind.is_weekday and re.search(r"(?:^|,)[A-Z0-9]+/", text)
    twice = kind.is_weekday and text.count(",") >= len(field.numbers)  # Sunday as 0 and as 7
    if not field.rules and (longer or same or from_one or twice):
        return ",".join(map(str, field.numbers))
    return "*" if field.numbers == tuple(range(kind.low, kind.high + 1)) else text


def _describe_day_lists(fields: Fields) -> str:
    """Day fields that mix numbers and rules, which the library words wrongly; else empty."""
    monthday, weekday = fields.monthday, fields.weekday
    if not any(field.rules and "," in field.text for field in (monthday, weekday)):
        return ""
    parts = []
    if not monthday.is_open:
        names = [f"day {number}" for number in monthday.numbers]
        names += [
            "the last day" if rule == "L" else f"the weekday nearest day {rule[:-1]}"
            for rule in monthday.rules
        ]
        parts.append(f"on {_join(names)} of the month")
    if not weekday.is_open:
        names = [f"every {_DAY_NAMES[number]}" for number in weekday.numbers]
        names += [_name_rule(rule) for rule in weekday.rules]
        parts.append(f"on {_join(names)}")
    return ", or ".join(parts)


def _name_rule(rule: str) -> str:
    if rule.startswith("L"):
        return f"the last {_DAY_NAMES[int(rule[1:])]} of the month"
    weekday, _, number = rule.partition("#")
    return f"the {_ORDINALS[int(number) - 1]} {_DAY_NAMES[int(weekday)]} of the month"


def _join(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _describe_anchored(schedule: Schedule) -> str:
    at = to_ticks(schedule.anchor, "anchor")
    piece = next(pieces_from(read_zone(schedule.zone), at))
    wall = wall_time(at + piece.offset)
    time = f"{wall.time().isoformat('seconds' if wall.second else 'minutes')} ({schedule.zone})"
    if schedule.kind == "one_time":
        return f"Once, on {wall:%A} {wall.date()} at {time}"
    since = f"from {wall.date()} on"
    if schedule.pattern == "hourly":
        return f"Every hour, {since}, first at {time}"
    if schedule.pattern == "daily":
        return f"Every day at {time}, {since}"
    if schedule.pattern == "weekly":
        return f"Every {wall:%A} at {time}, {since}"
    short = ", or on the last day of shorter months" if wall.day > 28 else ""
    return f"On day {wall.day} of every month{short}, at {time}, {since}"


def _describe_limits(schedule: Schedule) -> list[str]:
    parts = []
    if schedule.start_at is not None:
        parts.append(f"not before {_utc(schedule.start_at)}")
    if schedule.end_at is not None:
        parts.append(f"not after {_utc(schedule.end_at)}")
    if schedule.calendar is not None:
        moved = {
            "none": "skipped",
            "next": "moved to the next open day",
            "previous": "moved to the previous open day",
        }
        parts.append(f"on days that the calendar closes {moved[schedule.shift]}")
    return parts


def _utc(moment: datetime) -> str:
    return f"{from_ticks(to_ticks(moment)):%Y-%m-%d %H:%M:%S} UTC"


def warnings(schedule: Schedule, *, after: datetime | None = None) -> list[str]:
    """What is legal but often not meant, one sentence each; ValueError when it cannot be read.

    Clock changes are looked for in the year after `after`, and by the zone's standing rule where
    that is not given.
    """
    plan = read_schedule(schedule)
    found: list[str] = []
    if schedule.kind == "cron":
        cron = read_cron(schedule.expression)
        found += _warn_of_days(cron)
        found += _warn_of_steps(cron)
        found += _warn_of_seconds(cron)
    return found + _warn_of_clock_changes(plan, after)


def cron_differences(expression: str) -> list[str]:
    """Those of the warnings that tell where other crons read the expression otherwise; ValueError too."""
    fields = read_cron(expression).fields
    stepped = fields.monthday.starts_with_star or fields.weekday.starts_with_star
    return [*(_warn_of_either_day(fields) if stepped else []), *_warn_of_single_weekday(fields.weekday)]


def _warn_of_days(cron: Cron) -> list[str]:
    monthday, weekday = cron.fields.monthday, cron.fields.weekday
    found = _warn_of_either_day(cron.fields)
    if weekday.is_open and not monthday.rules and monthday.numbers and not monthday.is_open:
        late = [str(day) for day in monthday.numbers if day > 28]
        if late and len(late) == len(monthday.numbers):
            days = " and ".join(late)
            found.append(f"months without a day {days} are left out (L is the last day of any month)")
    return found + _warn_of_single_weekday(weekday)


def _warn_of_either_day(fields: Fields) -> list[str]:
    monthday, weekday = fields.monthday, fields.weekday
    if monthday.is_open or weekday.is_open:
        return []
    either = "day-of-month and weekday are both restricted: it fires on days that either names"
    if monthday.starts_with_star or weekday.starts_with_star:
        either += "; a step such as */2 counts as a restriction (other crons read it as 'and')"
    return [either]


def _warn_of_single_weekday(weekday: Field) -> list[str]:
    if not re.search(r"(?:^|,)[A-Z0-9]+/[0-9]", weekday.text):
        return []
    ends = "a step from a single weekday ends at Saturday (6); other crons go on to Sunday (7)"
    return [f"weekday {weekday.text}: {ends}"]


def _warn_of_steps(cron: Cron) -> list[str]:
    fields = cron.fields
    found: list[str] = []
    for field, kind in (
        (fields.second, SECOND),
        (fields.minute, MINUTE),
        (fields.hour, HOUR),
        (fields.monthday, MONTHDAY),
    ):
        found += _warn_of_step(field, kind)
    return found


def _warn_of_step(field: Field, kind: FieldKind) -> list[str]:
    match = re.fullmatch(r"\*/([0-9]+)", field.text)
    if match is None or int(match[1]) == 1:
        return []
    step, size = int(match[1]), kind.high - kind.low + 1
    if step >= size:
        return [f"{kind.name} */{step}: there are only {size}, so it means just {kind.low}"]
    if size % step or kind.is_day:
        return [f"{kind.name} */{step} starts anew at {kind.low}: the last interval is often shorter"]
    return []


def _warn_of_seconds(cron: Cron) -> list[str]:
    count = len(cron.fields.second.numbers)
    if not cron.fields.six or count == 1:
        return []
    return [f"the first of six fields is the seconds: it fires {count} times in each minute it names"]


def _warn_of_clock_changes(plan: Plan, after: datetime | None) -> list[str]:
    """Whether fire times fall into the clock changes of the coming year.

    Nothing to warn of where every hour is named: those schedules follow the clock on purpose.
    """
    core = plan.core
    if core is None or len(core.walls.times.hours) == 24:
        return []
    start = _STANDING_YEAR if after is None else to_ticks(after)
    found: dict[str, str] = {}
    for piece in pieces_from(core.zone, start):
        if piece.start > start + 366 * DAY:
            break
        if piece.start > start and core.walls.count(*sorted((piece.seen, piece.wall_start))):
            text = _say_change(piece, follows_clock=core.follows_clock, dated=after is not None)
            found.setdefault("gap" if piece.seen < piece.wall_start else "overlap", text)
    return list(found.values())


def _say_change(piece: Piece, *, follows_clock: bool, dated: bool) -> str:
    gap = piece.seen < piece.wall_start
    low, high = sorted((piece.seen, piece.wall_start))
    day = f" (next on {day_date(piece.wall_start // DAY)})" if dated else ""
    what = {
        (True, True): "are dropped",
        (True, False): "run right after it, several as one",
        (False, True): "run both times",
        (False, False): "run the first time only",
    }[gap, follows_clock]
    verb = "skips" if gap else "repeats"
    return f"when the clock {verb} {clock(low)} to {clock(high)}{day}, fire times in between {what}"
