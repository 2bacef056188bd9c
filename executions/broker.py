"""The way to Celery's workers: the app, its queues, and the line on which the doorbell rings.

Imported only where ENGINE=celery, because Celery is an extra.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from celery import Celery
from django.conf import settings
from kombu import Connection, Exchange, Queue

from executions.engine.config import EngineConfig
from executions.engine.doorbell import RING_AGAIN, Doorbell
from executions.engine.ring import Ring

TASK = "executions.run"
PREFIX = "scheduler."  # of our queues, so that a broker can serve other projects as well
DEFAULT = "default"
PRIORITIES = 10
PATIENCE = 5.0  # seconds that the line waits for each answer of the broker
# Beyond the longest job (an hour), or Redis and RabbitMQ hand its message out again: harmless, but of no use.
UNACKNOWLEDGED = timedelta(hours=2)
HARD_LIMIT_AFTER = 10.0  # seconds beyond a job's timeout at which its process is killed from outside


def make_app() -> Celery:
    """The Celery app of these settings; nothing connects yet."""
    # Without Celery's own care for Django, which closes the database's pool before and after each message.
    app = Celery("scheduler", broker=settings.CELERY_BROKER_URL, set_as_current=False, fixups=())
    app.conf.update(
        # The row is the truth: no results, no beat, no time of arrival in a message, nothing but JSON.
        result_backend=None,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        # The message goes when its execution ended, or back when its process died. Both only save time.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_concurrency=settings.WORKER_CONCURRENCY,
        worker_consumer="executions.celery:Consumer",
        worker_send_task_events=False,
        # Our log lines and their files, not Celery's.
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        task_queues=make_queues([] if "*" in settings.WORKER_QUEUES else settings.WORKER_QUEUES),
        task_default_queue=PREFIX + DEFAULT,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=_transport_options(),
        imports=("executions.celery",),
    )
    return app


def speaks_amqp() -> bool:
    """Whether the broker is a RabbitMQ."""
    return str(settings.CELERY_BROKER_URL).startswith("amqp")


def make_queues(names: Iterable[str]) -> list[Queue]:
    """The broker's queues for these queues of jobs; without any, that of the default queue."""
    return [make_queue(name) for name in names] or [make_queue(DEFAULT)]


def make_queue(name: str) -> Queue:
    """The broker's queue for a queue of jobs: durable, on RabbitMQ a quorum queue."""
    arguments: dict[str, Any] = {}
    if speaks_amqp():
        milliseconds = int(UNACKNOWLEDGED.total_seconds() * 1000)
        arguments = {"x-queue-type": "quorum", "x-consumer-timeout": milliseconds}
    full = PREFIX + name
    exchange = Exchange("scheduler", type="direct", durable=True)
    return Queue(full, exchange, routing_key=full, durable=True, queue_arguments=arguments)


def _transport_options() -> dict[str, Any]:
    if speaks_amqp():
        return {}
    return {
        "visibility_timeout": int(UNACKNOWLEDGED.total_seconds()),
        "priority_steps": list(range(PRIORITIES)),
        "queue_order_strategy": "priority",
    }


def make_doorbell(config: EngineConfig) -> Doorbell:
    """The doorbell of a process that plans. Where leases are short, a lost bell is noticed as soon."""
    return Doorbell(Telephone(make_app()), again=min(RING_AGAIN, config.lease), idle=config.poll)


class Telephone:
    """A line to the broker on one connection, made when it is needed and anew after any error."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._connection: Connection | None = None
        self._producer: Any = None

    def send(self, rings: Sequence[Ring]) -> None:
        """Deliver these; the broker's answer to a last question shows that it read them all."""
        try:
            self._connect()
            for ring in rings:
                self._send(ring)
            self._count(rings[-1].queue if rings else DEFAULT)
        except BaseException:
            self._hang_up()
            raise

    def count(self, queue: str) -> int:
        """How many messages of this queue wait to be taken."""
        try:
            self._connect()
            return self._count(queue)
        except BaseException:
            self._hang_up()
            raise

    def _send(self, ring: Ring) -> None:
        self._app.send_task(
            TASK,
            args=(str(ring.execution_id), ring.attempt),
            queue=make_queue(ring.queue),
            priority=_priority(ring.priority),
            time_limit=ring.timeout_ms / 1000 + HARD_LIMIT_AFTER,
            producer=self._producer,
            retry=False,
            ignore_result=True,
        )

    def _count(self, queue: str) -> int:
        """By declaring the queue, which its workers may not have done yet; Redis knows no empty queue."""
        bound = make_queue(queue)(self._producer.channel)
        bound.declare()
        return int(bound.queue_declare().message_count)

    def _connect(self) -> None:
        if self._connection is not None:
            return
        self._connection = self._app.connection_for_write(
            connect_timeout=PATIENCE, transport_options=_transport_options() | _impatience()
        )
        self._connection.ensure_connection(max_retries=1, timeout=PATIENCE)
        self._producer = self._app.amqp.Producer(self._connection, auto_declare=False)

    def _hang_up(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            try:
                connection.close()
            except Exception:  # noqa: BLE001 - a broken connection may fail to close in any way
                connection.collect()


def _priority(priority: int) -> int:
    """What runs first is 9 to us and to RabbitMQ, and 0 to Celery's Redis."""
    return priority if speaks_amqp() else PRIORITIES - 1 - priority


def _impatience() -> dict[str, Any]:
    if speaks_amqp():
        return {"read_timeout": PATIENCE, "write_timeout": PATIENCE}
    return {"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE}
