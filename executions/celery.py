"""What a Celery worker does with a message: its engine claims the execution that it names, and runs it.

Every process that runs tasks has one engine: each child of a prefork pool (so nothing is shared across a
fork), or the worker itself where its pool is made of threads. The engine claims, renews, runs, completes and
reports alive as that of `run_scheduler` does, and claims only what a message names.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from celery import bootsteps, shared_task, signals
from celery.exceptions import Reject
from celery.worker import consumer
from django.conf import settings
from django.db import Error as DatabaseProblem
from django.db import connection, connections

from executions import lanes
from executions.broker import DEFAULT, PREFIX, TASK, make_queue
from executions.engine.config import read_config
from executions.engine.inbox import Inbox
from executions.engine.loop import Engine
from executions.engine.ring import Ring
from web import patience

log = logging.getLogger(__name__)

RECONNECT = {"interval_start": 1, "interval_step": 1, "interval_max": 3}
FOLLOW_EVERY = 5.0  # seconds between looks for queues of jobs that are not listened to yet
FOLLOW_LIMIT = 2.0
CONNECTIONS = 4  # of the database, for the engine's loop and what it asks besides its slots
SLOT_STEP = 0.5
END_GRACE = 10.0  # seconds beyond SHUTDOWN_TIMEOUT_SECONDS for the engine to say goodbye


@shared_task(name=TASK, bind=True)
def run(task: Any, execution_id: str, attempt: int) -> None:
    """Run one execution, if it waits and may start; a bell for anything else is answered by doing nothing."""
    errand = crew.inbox.ask(Ring(execution_id=UUID(execution_id), attempt=attempt))
    if not errand.wait():
        raise Reject("this process ends", requeue=True)
    if not errand.taken:
        log.debug("nothing to run of %s", execution_id)
    crew.wait_for_slot()


class Crew:
    """The engine of this process, in a thread of its own."""

    def __init__(self) -> None:
        self.queues: tuple[str, ...] = ()
        self.forks = True
        self.inbox = Inbox()
        self._engine: Engine | None = None
        self._thread: threading.Thread | None = None
        self._lifeline: tuple[int, int] | None = None

    def start(self, slots: int) -> None:
        """Begin to answer, with so many slots."""
        config = replace(read_config(concurrency=slots, plans=False), queues=self.queues)
        pool = connection.settings_dict["OPTIONS"].get("pool")
        if isinstance(pool, dict):
            pool |= {"min_size": 1, "max_size": max(pool["max_size"], slots + CONNECTIONS)}
        self._engine = Engine(config, inbox=self.inbox)
        self._thread = threading.Thread(target=self._serve, args=(self._engine,), name="engine", daemon=True)
        self._thread.start()
        log.info("worker %s started (pid %d)", config.instance, os.getpid())

    def _serve(self, engine: Engine) -> None:
        try:
            engine.run()
        except Exception:
            log.exception("the engine ended")
            os._exit(1)  # a process that takes messages and runs nothing would be worse than none
        finally:
            self.inbox.shut()
            connections.close_all()

    def stop(self) -> None:
        """Claim no more: finish what runs within SHUTDOWN_TIMEOUT_SECONDS, give the rest back."""
        if self._engine is not None:
            self._engine.stop()

    def join(self) -> None:
        """Stop, and wait for it."""
        self.stop()
        if self._thread is not None:
            self._thread.join(settings.SHUTDOWN_TIMEOUT_SECONDS + END_GRACE)

    def wait_for_slot(self) -> None:
        """Keep a child from taking more while a handler outlives its attempt.

        Celery ends it at the hard limit; a child whose engine has said goodbye ends itself.
        """
        if not self.forks or self._engine is None or self._thread is None:
            return
        while not self._engine.runner.pool.wait_idle(SLOT_STEP):
            if not self._thread.is_alive():
                os._exit(0)

    # a child hears of its parent's end by the end of a pipe ---------------------------------------

    def hold_lifeline(self) -> None:
        """In the parent, before it forks."""
        self._lifeline = os.pipe()

    def cut_lifeline(self) -> None:
        """In the parent: tell all children, present and future, to stop."""
        if self._lifeline is not None:
            os.close(self._lifeline[1])
            self._lifeline = (self._lifeline[0], -1)

    def watch_lifeline(self) -> None:
        """In a child: stop when the parent says so, or is gone."""
        if self._lifeline is None:
            return
        reading, writing = self._lifeline
        if writing >= 0:
            os.close(writing)

        def watch() -> None:
            os.read(reading, 1)
            self.stop()

        threading.Thread(target=watch, name="lifeline", daemon=True).start()


crew = Crew()


# The life of a worker -------------------------------------------------------------------------------


@signals.setup_logging.connect
def keep_logging(**_: Any) -> None:
    """Django has set logging up; Celery leaves it alone where somebody listens to this signal."""


@signals.worker_init.connect
def prepare(sender: Any, **_: Any) -> None:
    """In the worker, before its pool is made."""
    kind = sender.pool_cls.__module__.rpartition(".")[2]
    if kind not in ("prefork", "thread", "solo"):
        sys.exit(f"The pool {kind} cannot run handlers; use prefork, threads or solo")
    crew.forks = kind == "prefork"
    if crew.forks:
        crew.hold_lifeline()
    names = [name.removeprefix(PREFIX) for name in sender.app.amqp.queues.consume_from]
    crew.queues = () if follows(sender.app) else tuple(names)


@signals.worker_process_init.connect
def begin_child(**_: Any) -> None:
    """In a new child: what it inherited of the database is its parent's."""
    if not crew.forks:  # the solo pool sends this too
        return
    forget_connections()
    crew.watch_lifeline()
    crew.start(1)


@signals.worker_process_shutdown.connect
def end_child(**_: Any) -> None:
    crew.join()


@signals.worker_ready.connect
def begin_here(sender: Any, **_: Any) -> None:
    """In a worker that runs tasks itself."""
    if not crew.forks:
        crew.start(max(1, sender.controller.concurrency))


@signals.worker_shutting_down.connect
def stop_all(**_: Any) -> None:
    """At the first signal: every engine drains, while Celery waits for the tasks that wait for them."""
    crew.cut_lifeline()
    crew.stop()


@signals.worker_shutdown.connect
def end_here(**_: Any) -> None:
    if not crew.forks:
        crew.join()


def forget_connections() -> None:
    """Leave what a fork copied to the process it belongs to: no word of ours may get into its lines."""
    for one in connections.all(initialized_only=True):
        one.connection = None
        pools = getattr(one, "_connection_pools", None)
        if pools is not None:
            pools.clear()


# The queues -----------------------------------------------------------------------------------------


def follows(app: Any) -> bool:
    """Whether this worker serves all queues: WORKER_QUEUES says so, and no `-Q` something else."""
    return "*" in settings.WORKER_QUEUES and list(app.amqp.queues.consume_from) == [PREFIX + DEFAULT]


class Follower(bootsteps.StartStopStep):
    """Listens to every queue that a job names, also to those that come later."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._follows = follows(parent.app)
        self._timer: Any = None

    def start(self, parent: Any) -> None:
        if self._follows:
            self._add(parent)  # the loop, which comes next, begins to take from all of them
            self._timer = parent.timer.call_repeatedly(FOLLOW_EVERY, self._follow, (parent,))

    def stop(self, parent: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _follow(self, parent: Any) -> None:
        if self._add(parent):
            parent.task_consumer.consume()

    def _add(self, parent: Any) -> bool:
        known = {queue.name for queue in parent.task_consumer.queues}
        new = [queue for name in _named_queues() if (queue := make_queue(name)).name not in known]
        for queue in new:
            parent.app.amqp.queues.select_add(queue)
            parent.task_consumer.add_queue(queue)
            log.info("listening to %s", queue.name)
        return bool(new)


def _named_queues() -> list[str]:
    """The queues of jobs. The connection is not kept, because a child may be forked at any time."""
    try:
        with patience.limit(FOLLOW_LIMIT):
            return lanes.named_by_jobs()
    except DatabaseProblem as problem:
        log.warning("the queues of jobs cannot be read: %s", str(problem).partition("\n")[0])
        return []
    finally:
        connection.close()
        if hasattr(connection, "close_pool"):
            connection.close_pool()


class Consumer(consumer.Consumer):
    """Celery's own, without the parts that a doorbell has no use for.

    Gossip, mingle and heartbeats between workers tell what the instance rows tell; delayed delivery makes
    some thirty queues for times of arrival that our messages do not have.
    """

    class Blueprint(consumer.Consumer.Blueprint):
        default_steps = [
            "celery.worker.consumer.connection:Connection",
            "celery.worker.consumer.events:Events",
            "celery.worker.consumer.heart:Heart",
            "celery.worker.consumer.control:Control",
            "celery.worker.consumer.tasks:Tasks",
            Follower,
            "celery.worker.consumer.consumer:Evloop",
        ]

    def ensure_connected(self, conn: Any) -> Any:
        """As Celery does, but a broker that is back is found within seconds, not up to half a minute."""
        conn.ensure_connection = partial(conn.ensure_connection, **RECONNECT)
        return super().ensure_connected(conn)
