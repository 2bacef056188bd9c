"""What to tell people about an occurrence that a clock change or a calendar touched."""

from __future__ import annotations

from jobs.timing.calendars import Calendar
from jobs.timing.fires import Fire
from jobs.timing.recurrence import HourlyFires
from jobs.timing.schedule import Plan
from jobs.timing.shift import sources
from jobs.timing.ticks import DAY, day_date, wall_time
from jobs.timing.zones import pieces_from


def clock_note(plan: Plan, fire: Fire) -> str:
    """Whether a clock change moved or doubled a fire time; empty for most."""
    piece = fire.piece
    if fire.wall < piece.wall_start:
        gap = f"{clock(piece.seen)} to {clock(piece.wall_start)}"
        return f"moved by a clock change: {clock(fire.wall)} does not exist ({gap} is skipped)"
    if plan.core is None or not piece.again <= fire.wall < piece.wall_end:
        if plan.core and plan.core.follows_clock and fire.wall < piece.seen:
            return f"doubled by a clock change: {clock(fire.wall)} for the second time"
        return ""
    if plan.core.follows_clock:
        return f"doubled by a clock change: {clock(fire.wall)} for the first of two times"
    return f"{clock(fire.wall)} comes twice by a clock change: runs the first time only"


def calendar_note(plan: Plan, day: int, *, closed: bool) -> str:
    """Whether the calendar closed the day of a fire time or moved it there; empty for most."""
    if plan.calendar is None:
        return ""
    if closed:
        return f"closed by the calendar{_reason(plan.calendar, day)}"
    if plan.shift == "none" or day in plan.days:
        return ""
    moved = [
        f"{day_date(source):%A} {day_date(source)}{_reason(plan.calendar, source)}"
        for source in sources(day, plan.days, plan.calendar, plan.shift)
    ]
    return f"moved by the calendar from {' and '.join(moved)}"


def _reason(calendar: Calendar, day: int) -> str:
    note = calendar.note(day_date(day))
    return f" ({note})" if note else ""


def dropped_note(plan: Plan, after: int, fire: Fire) -> str:
    """How many fire times a gap between an instant and a fire time swallowed; else empty."""
    core = plan.core
    if core is None or not core.follows_clock or isinstance(core, HourlyFires):
        return ""
    parts = []
    for piece in pieces_from(core.zone, after):
        if piece.start > fire.at:
            break
        if piece.start > after and piece.seen < piece.wall_start:
            count = core.walls_in(piece).count(piece.seen, piece.wall_start)
            if count:
                day = day_date(piece.wall_start // DAY)
                gap = f"{clock(piece.seen)} to {clock(piece.wall_start)} on {day}"
                times = "1 fire time" if count == 1 else f"{count} fire times"
                parts.append(f"{times} before it dropped by a clock change ({gap} is skipped)")
    return "; ".join(parts)


def clock(wall: int) -> str:
    """A wall time as 02:30, or 02:30:15 where it has seconds."""
    time = wall_time(wall).time()
    return time.isoformat("seconds" if time.second else "minutes")
