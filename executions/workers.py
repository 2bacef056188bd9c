"""The processes that are alive now, and what room they have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings

from executions.models import Instance, InstanceStatus
from executions.rows import fetch, moment

EVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Worker:
    """One live process. `slots` is 0 for one that only plans; `busy` counts what it runs or has claimed."""

    id: str
    role: str
    queues: tuple[str, ...]
    slots: int
    busy: int

    @property
    def free(self) -> int:
        """Slots that nothing uses."""
        return max(0, self.slots - self.busy)

    def serves(self, queue: str) -> bool:
        """Whether it takes executions of this queue."""
        return self.slots > 0 and ("*" in self.queues or queue in self.queues)


def silence() -> timedelta:
    """How long a process may be silent before it counts as dead."""
    return timedelta(seconds=3 * settings.SCHEDULER_HEARTBEAT_SECONDS)


def live_rows(now: datetime, *, role: str | None = None) -> list[Instance]:
    """The rows of live processes, the newest start first."""
    rows = Instance.objects.filter(status=InstanceStatus.ACTIVE, last_heartbeat__gt=now - silence())
    if role is not None:
        rows = rows.filter(role=role)
    return list(rows.order_by("-created_at", "-id"))


def find_live(now: datetime) -> list[Worker]:
    """The live processes that run executions."""
    return [worker for worker in read_workers(live_rows(now)) if worker.slots > 0]


def read_workers(rows: list[Instance]) -> list[Worker]:
    """What these processes say of themselves, beside what the ledger says that they run."""
    running = count_running()
    return [
        Worker(
            id=row.id,
            role=row.role,
            queues=_queues(row.metadata),
            slots=_whole(row.metadata, "concurrency"),
            busy=max(running.get(row.id, 0), _whole(row.metadata, "busySlots")),
        )
        for row in rows
    ]


def count_running() -> dict[str, int]:
    """How many executions each process runs, by its id."""
    # What runs has a lease, so the index over leases answers; SQLite wants to read that in the text.
    rows = fetch(
        """
        SELECT locked_by, count(*) FROM job_executions
        WHERE status = 'RUNNING' AND lease_expires_at > %s GROUP BY locked_by
        """,
        [moment(EVER)],
    )
    return dict(rows)


def _whole(metadata: Any, name: str) -> int:
    value = metadata.get(name) if isinstance(metadata, Mapping) else None
    return value if isinstance(value, int) else 0


def _queues(metadata: Any) -> tuple[str, ...]:
    named = metadata.get("queues") if isinstance(metadata, Mapping) else None
    return tuple(str(name) for name in named) if isinstance(named, list) and named else ("*",)
