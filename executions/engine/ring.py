"""One message of the doorbell: what the scheduler says and a worker hears."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Ring:
    """The execution, and the attempts it has had. The rest tells the broker how to carry it."""

    execution_id: UUID
    attempt: int
    queue: str = "default"
    priority: int = 5
    timeout_ms: int = 0
