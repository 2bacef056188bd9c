"""The cron loop and the handlers, in one process; any number of them may share one PostgreSQL."""

from __future__ import annotations

import os
import signal
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from executions.engine import memory
from executions.engine.config import EngineConfig, read_config
from executions.engine.doorbell import Doorbell
from executions.engine.loop import Engine

LOOP_CONNECTIONS = 4  # the loop, two outside duties, one to spare


class Command(BaseCommand):
    """`manage.py run_scheduler`."""

    # The checks of addresses and admin load the whole web side: a third of the time that a start takes.
    requires_system_checks = [Tags.models]

    help = (
        "Plan due jobs and run their handlers until SIGTERM or SIGINT: then finish what runs"
        " (SHUTDOWN_TIMEOUT_SECONDS), give the rest back and exit 0. A second signal ends at once."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--concurrency", type=_count, help="handlers at once (WORKER_CONCURRENCY)")
        parser.add_argument("--queues", help="only these queues, comma separated (WORKER_QUEUES)")
        parser.add_argument("--once", action="store_true", help="do what is due, then exit")
        only = parser.add_mutually_exclusive_group()
        only.add_argument("--plan-only", action="store_true", help="plan, run no handlers")
        only.add_argument("--work-only", action="store_true", help="run handlers, plan nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        names = tuple(name.strip() for name in (options["queues"] or "").split(",") if name.strip())
        if options["queues"] is not None and not names:
            raise CommandError("--queues needs at least one name")
        # With ENGINE=celery its workers run what this process plans; `--once` does it all here.
        rings = settings.ENGINE == "celery" and not options["work_only"] and not options["once"]
        config = read_config(
            concurrency=options["concurrency"],
            queues=names or None,
            plans=not options["work_only"],
            works=not options["plan_only"] and not rings,
        )
        _make_room_for(config.concurrency)
        engine = Engine(config, doorbell=_make_doorbell(config) if rings else None)
        _listen_to_signals(engine)
        memory.settle()
        self.stderr.write(f"scheduler {engine.config.instance} started (pid {os.getpid()})")
        if options["once"]:
            engine.run_once()
        else:
            engine.run()
        self.stderr.write(f"scheduler {engine.config.instance} stopped")


def _make_doorbell(config: EngineConfig) -> Doorbell:
    from executions import broker  # Celery is an extra

    return broker.make_doorbell(config)


def _make_room_for(slots: int) -> None:
    """Let every slot have a database connection, and the loop and its duties theirs.

    DB_POOL_MAX counts for the web; a scheduler that ran out of connections would make its
    handlers wait for each other.
    """
    pool = connection.settings_dict["OPTIONS"].get("pool")
    if isinstance(pool, dict):
        pool["max_size"] = max(pool["max_size"], slots + LOOP_CONNECTIONS)


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1000:
        raise ValueError
    return value


def _listen_to_signals(engine: Engine) -> None:
    stopped = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        if stopped:
            os._exit(128 + number)
        stopped = True
        engine.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
