"""This process in the table of processes: alive, how much it did, what it was told."""

from __future__ import annotations

import os
import socket
from datetime import datetime, timedelta
from typing import Any

from executions.engine.config import EngineConfig
from executions.models import Instance, InstanceStatus, Role

FORGET_AFTER = timedelta(days=7)


def register(config: EngineConfig, now: datetime) -> None:
    """Enter this process; rows of processes that were last heard of a week ago go."""
    Instance.objects.filter(last_heartbeat__lt=now - FORGET_AFTER).delete()
    Instance.objects.update_or_create(
        id=config.instance,
        defaults={
            "role": Role.SCHEDULER if config.plans else Role.WORKER,
            "status": InstanceStatus.ACTIVE,
            "last_heartbeat": now,
            "metadata": {
                "startTime": now.isoformat(),
                "pid": os.getpid(),
                "hostname": socket.gethostname(),
                "queues": list(config.queues) or ["*"],
                "concurrency": config.concurrency if config.works else 0,
            },
            "created_at": now,
            "updated_at": now,
        },
    )


def beat(config: EngineConfig, now: datetime, *, processed: int, figures: dict[str, Any]) -> None:
    """Say that the loop goes round; `figures` (slots in use, stuck, stale writes) are shown."""
    row = Instance.objects.filter(id=config.instance).first()
    if row is None:
        register(config, now)
        row = Instance.objects.get(id=config.instance)
    known = row.metadata if isinstance(row.metadata, dict) else {}
    Instance.objects.filter(id=config.instance).update(
        status=InstanceStatus.ACTIVE,
        last_heartbeat=now,
        updated_at=now,
        jobs_processed_count=processed,
        metadata={**known, **figures},
    )


def leave(config: EngineConfig, now: datetime, *, processed: int) -> None:
    """A clean stop."""
    Instance.objects.filter(id=config.instance).update(
        status=InstanceStatus.INACTIVE,
        last_heartbeat=now,
        updated_at=now,
        jobs_processed_count=processed,
    )
