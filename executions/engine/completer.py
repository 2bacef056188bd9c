"""Writes how attempts ended, in groups, each row fenced by its claim's token."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import InterfaceError, OperationalError

from executions import lifecycle
from executions.engine import chronicle, outcome
from executions.engine.assignment import Assignment
from executions.engine.outcome import Outcome
from executions.faults import fault
from executions.lifecycle import Ending, LogLine
from jobs.contract import HandlerError

log = logging.getLogger(__name__)

MAX_GROUP = 500


@dataclass(kw_only=True, slots=True)
class Report:
    """One attempt that ended, as the loop collected it from the runner."""

    assignment: Assignment
    outcome: Outcome
    said: tuple[LogLine, ...] = ()
    start_shown: bool = False


@dataclass(frozen=True, kw_only=True)
class Completed:
    """What a group came to: written, not ours any more, and given up before writing.

    `put_off`: the tokens of those to bring again, because somebody else holds their row or their job's.
    """

    written: int = 0
    stale: int = 0
    lost: int = 0
    put_off: frozenset[UUID] = frozenset()


def complete(reports: Sequence[Report], now: datetime, *, skip_locked: bool = False) -> Completed:
    """End a group of attempts. Safe to call again with the same group after an error:

    what was committed already is not ours any more and is left alone. `skip_locked`: of a group that was
    put off before, so nobody is waited for at all.
    """
    endings = [ending for report in reports if (ending := _end(report, now)) is not None]
    fault("complete_before")
    ended = _finish(endings, now, skip_locked) if endings else lifecycle.Ended(applied=[], stale=0)
    fault("complete_after_commit")
    chronicle.tell(ended.applied, {one.assignment.claim.token: one.assignment for one in reports})
    return Completed(
        written=len(ended.applied),
        stale=ended.stale,
        lost=len(reports) - len(endings),
        put_off=ended.put_off,
    )


def _finish(endings: Sequence[Ending], now: datetime, skip_locked: bool) -> lifecycle.Ended:
    """Write the group; one that cannot be written as it is, or not now, holds up no other."""
    try:
        return lifecycle.finish(endings, now, skip_locked=skip_locked)
    except OperationalError as error:
        if skip_locked or not lifecycle.is_lock(error):
            raise
        return _finish(endings, now, skip_locked=True)
    except InterfaceError:
        raise
    except Exception as error:
        if len(endings) == 1:
            log.exception("the ending of %s cannot be written", endings[0].claim.execution_id)
            return _fail_unstorable(endings[0], error, now, skip_locked)
        ended = [_finish([ending], now, skip_locked) for ending in endings]
    return lifecycle.Ended(
        applied=[ending for one in ended for ending in one.applied],
        stale=sum(one.stale for one in ended),
        put_off=frozenset().union(*(one.put_off for one in ended)),
    )


def _fail_unstorable(ending: Ending, error: Exception, now: datetime, skip_locked: bool) -> lifecycle.Ended:
    """End it FAILED; where even that is refused, it is left to its lease and holds up no other."""
    message = f"the outcome cannot be stored: {type(error).__name__}"
    unstorable = lifecycle.fail(ending.claim, reason="invalid_output", message=message)
    try:
        return lifecycle.finish([unstorable], now, skip_locked=skip_locked)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception("execution %s cannot be ended at all", ending.claim.execution_id)
        return lifecycle.Ended(applied=[], stale=1)


def _end(report: Report, now: datetime) -> Ending | None:
    try:
        ending = outcome.judge(report.assignment, report.outcome, now)
    except Exception as error:
        unreadable = HandlerError(
            f"the handler's answer cannot be read: {type(error).__name__}", reason="invalid_output"
        )
        ending = outcome.judge(report.assignment, Outcome(error=unreadable), now)
    if ending is None:
        return None
    lines = outcome.lines(report.assignment, ending, now, report.said)
    ending.lines = lines[1:] if report.start_shown else lines
    return ending
