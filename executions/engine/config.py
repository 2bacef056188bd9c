"""What one engine process is told at its start."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

from django.conf import settings

MAX_PREFETCH = 200
PREFETCH_HORIZON = 0.1  # seconds of work that may be claimed ahead of the free slots
PLAN_BATCH = 500


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """The settings of one process. `queues` empty: all of them."""

    instance: str
    concurrency: int
    queues: tuple[str, ...]
    plans: bool
    works: bool
    lease: timedelta
    poll: timedelta
    heartbeat: timedelta
    shutdown: timedelta

    @property
    def renew_every(self) -> timedelta:
        """Leases are renewed every third of them."""
        return self.lease / 3

    @property
    def fresh(self) -> timedelta:
        """A handler is called only on a lease confirmed less than this ago."""
        return self.lease / 10

    @property
    def margin(self) -> timedelta:
        """A worker without a confirmed lease stops itself this long before the lease ends."""
        return min(self.lease / 10, timedelta(seconds=2))


def read_config(
    *,
    concurrency: int | None = None,
    queues: tuple[str, ...] | None = None,
    plans: bool = True,
    works: bool = True,
) -> EngineConfig:
    """The configuration of the settings, with what the command line overrides.

    The identity is new with every start: never a host name, a pod name or a pid.
    """
    chosen = tuple(settings.WORKER_QUEUES) if queues is None else queues
    role = "scheduler" if plans else "worker"
    return EngineConfig(
        instance=f"{role}-{uuid4()}",
        concurrency=concurrency or settings.WORKER_CONCURRENCY,
        queues=() if "*" in chosen else chosen,
        plans=plans,
        works=works,
        lease=timedelta(seconds=settings.LEASE_SECONDS),
        poll=timedelta(milliseconds=settings.SCHEDULER_POLL_INTERVAL_MS),
        heartbeat=timedelta(seconds=settings.SCHEDULER_HEARTBEAT_SECONDS),
        shutdown=timedelta(seconds=settings.SHUTDOWN_TIMEOUT_SECONDS),
    )
