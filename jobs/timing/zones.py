"""Time zones as pieces: stretches of real time with one UTC offset each.

Everything about clock changes is decided here. A zone is only ever asked for the offset at
an instant of UTC (never for a wall time), so any working tzinfo gives the same answers.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jobs.timing.ticks import DAY, FIRST_TICK, LAST_TICK, SECOND, from_ticks, span_ticks

_NAME = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+){0,3}")
# Present on some systems as files, but no IANA names: leap-second copies and local settings.
_NO_NAMES = ("posix", "right", "localtime", "posixrules", "Factory", "SystemV", "leapseconds")

# Changes are looked for this far apart. The shortest return trip to an old offset in the
# IANA data from 1900 on is four days (Africa/Freetown, 1939).
_PROBE = 3 * DAY
# The predicted changes of Ramadan end in 2087; later only yearly rules are left.
_FAR = 130 * 366 * DAY
_FAR_PROBE = 30 * DAY
# How far a piece's neighbours may reach into it: the longest change is 24 hours.
_REACH = 4 * DAY
_BLOCK = 406 * DAY


def read_zone(zone: object) -> tzinfo:
    """An IANA name or tzinfo as tzinfo; raises ValueError with the reason for anything else."""
    if isinstance(zone, tzinfo):
        _offset(zone, 0)
        return zone if _is_hashable(zone) else _ByIdentity(zone)
    if not isinstance(zone, str):
        raise ValueError(f"time zone must be an IANA name, not {type(zone).__name__}")
    return _named_zone(zone[:100])


class _ByIdentity(tzinfo):
    """A tzinfo that cannot be hashed (dateutil's), in a form that the cache can hold."""

    def __init__(self, zone: tzinfo) -> None:
        self.zone = zone

    def fromutc(self, moment: datetime) -> datetime:
        return moment.replace(tzinfo=UTC).astimezone(self.zone)

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return self.zone.utcoffset(moment)

    def dst(self, moment: datetime | None) -> timedelta | None:
        return self.zone.dst(moment)

    def tzname(self, moment: datetime | None) -> str | None:
        return self.zone.tzname(moment)


def _is_hashable(zone: tzinfo) -> bool:
    try:
        hash(zone)
    except TypeError:
        return False
    return True


def check_zone(name: object) -> None:
    """Raise ValueError with the reason unless `name` is an IANA time zone name."""
    if not isinstance(name, str):
        raise ValueError(f"time zone must be an IANA name, not {type(name).__name__}")
    _named_zone(name[:100])


@lru_cache(maxsize=1024)
def _named_zone(name: str) -> tzinfo:
    if not name:
        raise ValueError("time zone is empty")
    well_formed = len(name) <= 64 and _NAME.fullmatch(name) is not None
    if not well_formed or name.split("/")[0] in _NO_NAMES:
        raise ValueError(f"unknown time zone {_shown(name)}")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"unknown time zone {_shown(name)}") from None


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 64 else name[:64] + "...")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of real time, from `start` to before `end`, with one offset to UTC.

    `seen` is the wall time up to which the clock had already run when the piece began:
    below `wall_start` the walls between were skipped (a gap), above it they come a second
    time (an overlap). Walls from `again` on come once more in the piece that follows.
    """

    start: int
    end: int
    offset: int
    seen: int
    again: int

    @property
    def wall_start(self) -> int:
        return self.start + self.offset

    @property
    def wall_end(self) -> int:
        return self.end + self.offset


def piece_at(zone: tzinfo, at: int) -> Piece:
    """The piece that an instant lies in."""
    block = _block(zone, at // _BLOCK)
    return block[bisect_right(block, at, key=_start) - 1]


def pieces_from(zone: tzinfo, at: int) -> Iterator[Piece]:
    """The piece of an instant and all later ones, up to where datetimes end."""
    at = max(at, FIRST_TICK)
    while at <= LAST_TICK:
        piece = piece_at(zone, at)
        yield piece
        at = piece.end


def pieces_back(zone: tzinfo, at: int) -> Iterator[Piece]:
    """The piece of an instant and all earlier ones, down to where datetimes begin."""
    at = min(at, LAST_TICK)
    while at >= FIRST_TICK:
        piece = piece_at(zone, at)
        yield piece
        at = piece.start - 1


def _start(piece: Piece) -> int:
    return piece.start


@lru_cache(maxsize=2048)
def _block(zone: tzinfo, index: int) -> tuple[Piece, ...]:
    """The pieces of one block of real time; a block's borders cut pieces, changing nothing."""
    first = max(index * _BLOCK, FIRST_TICK)
    last = min((index + 1) * _BLOCK, LAST_TICK + 1)
    changes = _changes(zone, first - _REACH, last + _REACH)
    pieces: list[Piece] = []
    seen = changes[0][0] + changes[0][1]
    for number, (start, offset) in enumerate(changes):
        end = changes[number + 1][0] if number + 1 < len(changes) else last + _REACH
        later = [begin + other for begin, other in changes[number + 1 :]]
        if end > first and start < last:
            cut = start < first
            pieces.append(
                Piece(
                    start=max(start, first),
                    end=min(end, last),
                    offset=offset,
                    seen=max(seen, first + offset) if cut else seen,
                    again=min([end + offset, *later]),
                )
            )
        seen = max(seen, end + offset)
    return tuple(pieces)


def _changes(zone: tzinfo, first: int, last: int) -> list[tuple[int, int]]:
    """(start, offset) of every stretch with one offset between two instants, oldest first."""
    at, offset = first, _offset(zone, first)
    changes = [(first, offset)]
    if isinstance(zone, timezone):
        return changes
    while at < last:
        ahead = min(at + (_PROBE if at < _FAR else _FAR_PROBE), last)
        while _offset(zone, ahead) != offset:
            at = _change_between(zone, at, ahead)
            offset = _offset(zone, at)
            changes.append((at, offset))
        at = ahead
    return changes


def _change_between(zone: tzinfo, before: int, after: int) -> int:
    """The first instant (to the second) whose offset differs from that at `before`."""
    offset = _offset(zone, before)
    while after - before > SECOND:
        middle = (before + after) // (2 * SECOND) * SECOND
        if _offset(zone, middle) == offset:
            before = middle
        else:
            after = middle
    return after


def _offset(zone: tzinfo, at: int) -> int:
    """The offset to UTC at an instant; the last two days of time repeat the one before."""
    if zone is UTC:
        return 0
    at = min(max(at, FIRST_TICK + 2 * DAY), LAST_TICK - 2 * DAY)
    try:
        offset = from_ticks(at).astimezone(zone).utcoffset()
    except Exception as error:  # a foreign tzinfo may raise anything
        raise ValueError(f"time zone does not work ({type(error).__name__})") from error
    if offset is None:
        raise ValueError("time zone names no offset")
    return span_ticks(offset)
