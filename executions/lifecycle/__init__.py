"""The one writer of execution state.

Every move is conditional: it names the state it comes from and, out of RUNNING, the token of the
claim. A row that does not answer was moved by somebody else first, which is a normal return and
never an error. All verbs work on groups and expect to be called inside a short transaction or
open one themselves; none of them reads a clock.

One module for each part of a life: `occurrences` enter the ledger, `takes` claim them, `claims` are
kept or lost, `progress` shows a run, `endings` say how it ends and `completion` writes that, `outcomes`
go to the job's own row, and `waiting` is what leaves without a run.
"""

from executions.lifecycle.claims import (
    STILL_WAITS,
    Claim,
    Expired,
    Renewed,
    asked_to_stop,
    expired,
    renew,
)
from executions.lifecycle.completion import Ended, finish, is_lock, write_lines
from executions.lifecycle.endings import (
    Ending,
    LogLine,
    fail,
    release,
    rescue,
    retry,
    stop,
    succeed,
)
from executions.lifecycle.occurrences import Planned, plan, shorten, skipped_beyond
from executions.lifecycle.progress import Advance, checkpoint, note_starts, report
from executions.lifecycle.takes import Take, claim
from executions.lifecycle.waiting import ask_to_stop, cancel, cancel_waiting, skip

__all__ = [
    "STILL_WAITS",
    "Advance",
    "Claim",
    "Ended",
    "Ending",
    "Expired",
    "LogLine",
    "Planned",
    "Renewed",
    "Take",
    "ask_to_stop",
    "asked_to_stop",
    "cancel",
    "cancel_waiting",
    "checkpoint",
    "claim",
    "expired",
    "fail",
    "finish",
    "is_lock",
    "note_starts",
    "plan",
    "release",
    "renew",
    "report",
    "rescue",
    "retry",
    "shorten",
    "skip",
    "skipped_beyond",
    "stop",
    "succeed",
    "write_lines",
]
