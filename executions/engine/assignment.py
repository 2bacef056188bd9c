"""A claimed execution with all that its run needs: what the claimer hands to the runner."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from executions.lifecycle import Claim
from executions.retry import RetryPolicy


@dataclass(kw_only=True, slots=True)
class Definition:
    """The job's columns that a run needs, as they were at the claim."""

    id: int
    uuid: UUID
    name: str
    handler: str
    zone: str
    owner_id: UUID | None
    execution_type: str
    payload: Any
    metadata: Any
    api: str | None
    method: str
    headers: Any
    timeout_ms: int
    follow_redirects: bool
    retry_policy: RetryPolicy
    stored_policy: Any = None
    cron_expression: str = ""
    problem: str = ""


@dataclass(kw_only=True, slots=True)
class Assignment:
    """One attempt to make. `confirmed` is the monotonic moment its lease was last confirmed."""

    claim: Claim
    job: Definition
    scheduled_at: datetime
    trigger: str
    payload: Any
    retry_count: int
    committed: tuple[int, int, int]
    confirmed: float
