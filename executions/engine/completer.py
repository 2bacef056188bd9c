"""Writes how attempts ended, in groups, each row fenced by its claim's token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from executions import lifecycle
from executions.engine import outcome
from executions.engine.assignment import Assignment
from executions.engine.outcome import Outcome
from executions.lifecycle import Ending, LogLine

MAX_GROUP = 500


@dataclass(frozen=True, kw_only=True)
class Report:
    """One attempt that ended, as the loop collected it from the runner."""

    assignment: Assignment
    outcome: Outcome
    said: tuple[LogLine, ...] = ()
    start_shown: bool = False


@dataclass(frozen=True, kw_only=True)
class Completed:
    """What a group came to: written, not ours any more, and given up before writing."""

    written: int = 0
    stale: int = 0
    lost: int = 0
    wakes: tuple[datetime, ...] = ()


def complete(reports: Sequence[Report], now: datetime) -> Completed:
    """End a group of attempts. Safe to call again with the same group after an error:

    what was committed already is not ours any more and is left alone.
    """
    endings = [ending for report in reports if (ending := _end(report, now)) is not None]
    ended = lifecycle.finish(endings, now) if endings else lifecycle.Ended(applied=[], stale=0)
    return Completed(
        written=len(ended.applied),
        stale=ended.stale,
        lost=len(reports) - len(endings),
        wakes=tuple(ending.due_at for ending in ended.applied if ending.due_at is not None),
    )


def _end(report: Report, now: datetime) -> Ending | None:
    ending = outcome.judge(report.assignment, report.outcome, now)
    if ending is None:
        return None
    lines = outcome.lines(report.assignment, ending, now, report.said)
    return replace(ending, lines=lines[1:] if report.start_shown else lines)
