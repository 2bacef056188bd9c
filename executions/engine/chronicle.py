"""What the process's own log says of attempts that ended; the ledger keeps all of it in any case."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

from executions.chart import CANCELLED, FAILED, PENDING, RETRYING, SUCCESS
from executions.engine.assignment import Assignment
from executions.lifecycle import Ending

log = logging.getLogger(__name__)

# A line for each success of a small group; of a large one their number, for a line costs as much as a run.
SMALL = 5
MESSAGE_LENGTH = 300
_WORDS = {
    SUCCESS: (logging.INFO, "succeeded"),
    PENDING: (logging.INFO, "released"),
    CANCELLED: (logging.INFO, "cancelled"),
    RETRYING: (logging.WARNING, "failed, to be tried again"),
    FAILED: (logging.ERROR, "failed"),
}


def tell(endings: Sequence[Ending], assignments: Mapping[UUID, Assignment]) -> None:
    """One line for each attempt that ended, with the ids of its job and execution."""
    many = len(endings) > SMALL
    for ending in endings:
        if not (many and ending.status == SUCCESS):
            _tell(ending, assignments[ending.claim.token])
    succeeded = Counter(ending.status for ending in endings)[SUCCESS]
    if many and succeeded:
        log.info("executions succeeded", extra={"event": "executions.succeeded", "count": succeeded})


def _tell(ending: Ending, assignment: Assignment) -> None:
    level, words = _WORDS[ending.status]
    if not log.isEnabledFor(level):
        return
    facts = {
        "event": f"execution.{words.split(',')[0]}",
        "job_id": str(assignment.job.uuid),
        "job_name": assignment.job.name,
        "execution_id": str(ending.claim.execution_id),
        "attempt": ending.claim.attempt,
        "duration_ms": ending.duration_ms,
        "reason": ending.reason,
        "error": ending.message[:MESSAGE_LENGTH] if ending.message else None,
    }
    known = {name: fact for name, fact in facts.items() if fact is not None}
    log.log(level, "execution %s", words, extra=known)
