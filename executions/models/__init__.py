"""The tables of executions: the ledger, its attempts and logs, dead letters, live processes."""

from executions.models.attempt import Attempt, AttemptStatus, ExecutionLog, LogLevel
from executions.models.dead_letter import BulkRequeue, DeadLetter, RequeueState
from executions.models.execution import (
    FINAL,
    WAITING,
    Execution,
    Reason,
    Status,
    Trigger,
)
from executions.models.horizon import Horizon
from executions.models.instance import Instance, InstanceStatus, Role
from executions.models.statistics import HourlyCount

__all__ = [
    "FINAL",
    "WAITING",
    "Attempt",
    "AttemptStatus",
    "BulkRequeue",
    "DeadLetter",
    "Execution",
    "ExecutionLog",
    "Horizon",
    "HourlyCount",
    "Instance",
    "InstanceStatus",
    "LogLevel",
    "Reason",
    "RequeueState",
    "Role",
    "Status",
    "Trigger",
]
