"""The verbs: each one the change and its audit entry in one transaction.

Admin, API and commands call these and decide nothing themselves. A verb locks the row it changes
first, so that it and the planner never overlap. What makes no sense raises `Refused`, a wrong
value `Invalid`.
"""

from executions.operations.calendars import (
    change_calendar,
    create_calendar,
    delete_calendar,
    import_days,
)
from executions.operations.dead_letters import requeue, requeue_many, resolve, resolve_many
from executions.operations.definition import create, delete, depend, rollback, set_tags, update
from executions.operations.dependencies import add_dependency, remove_dependency
from executions.operations.queues import limit_queue, pause_queue, resume_queue
from executions.operations.refusal import Invalid, Refused
from executions.operations.runs import Backfill, backfill, cancel_execution, trigger
from executions.operations.switches import cancel, deactivate, end_pause, pause, resume
from executions.operations.tags import change_tag, create_tag, delete_tag
from executions.operations.timetable import reschedule

__all__ = [
    "Backfill",
    "Invalid",
    "Refused",
    "add_dependency",
    "backfill",
    "cancel",
    "cancel_execution",
    "change_calendar",
    "change_tag",
    "create",
    "create_calendar",
    "create_tag",
    "deactivate",
    "delete",
    "delete_calendar",
    "delete_tag",
    "depend",
    "end_pause",
    "import_days",
    "limit_queue",
    "pause",
    "pause_queue",
    "remove_dependency",
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
