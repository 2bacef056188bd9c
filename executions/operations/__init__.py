"""The verbs: each one the change and its audit entry in one transaction.

Admin, API and commands call these and decide nothing themselves. A verb locks the row it changes
first, so that it and the planner never overlap. What makes no sense raises `Refused`, a wrong
value `Invalid`.
"""

from executions.operations.dead_letters import requeue, requeue_many, resolve, resolve_many
from executions.operations.definition import create, delete, depend, rollback, set_tags, update
from executions.operations.queues import limit_queue, pause_queue, resume_queue
from executions.operations.refusal import Invalid, Refused
from executions.operations.runs import Backfill, backfill, cancel_execution, trigger
from executions.operations.switches import cancel, deactivate, pause, resume
from executions.operations.timetable import reschedule

__all__ = [
    "Backfill",
    "Invalid",
    "Refused",
    "backfill",
    "cancel",
    "cancel_execution",
    "create",
    "deactivate",
    "delete",
    "depend",
    "limit_queue",
    "pause",
    "pause_queue",
    "requeue",
    "requeue_many",
    "reschedule",
    "resolve",
    "resolve_many",
    "resume",
    "resume_queue",
    "rollback",
    "set_tags",
    "trigger",
    "update",
]
