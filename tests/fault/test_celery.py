"""ENGINE=celery: workers, brokers and messages that die, forget and double (case 11)."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import Exchange, Queue

from executions.engine.ring import Ring
from tests.brokers import QUEUE, Broker
from tests.fault.processes import LEASE, POLL, SLACK, Scheduler, wait_for
from tests.fault.team import Team
from tests.fault.world import RECOVERY, World

pytestmark = pytest.mark.timeout(300)
ERROR_LINE = re.compile(r"^.*\bERROR\b.*does not answer.*$", re.MULTILINE)
BROKERS = ["redis", pytest.param("rabbitmq", marks=pytest.mark.slow)]
BOTH = ["redis", "rabbitmq"]


@pytest.fixture
def make_team_world(make_world: Callable[..., World]) -> Callable[[str], World]:
    return lambda broker: make_world("postgresql", broker)


def start(world: World, *arguments: str, **extra: str) -> Team:
    team = world.start(*arguments, **extra)
    assert isinstance(team, Team)
    return team


def broker_of(world: World) -> Broker:
    assert world.broker is not None
    return world.broker


def children_in_flight(world: World) -> list[int]:
    return [call.child for call in world.in_flight()]


@pytest.mark.parametrize("kind", BOTH)
def test_a_line_counts_what_waits_also_when_nothing_does(
    find_broker: Callable[[str], Broker], settings: Any, kind: str
) -> None:
    from executions.broker import Telephone, make_app

    settings.CELERY_BROKER_URL = find_broker(kind).url
    line, name = Telephone(make_app()), f"probe-{uuid.uuid4()}"
    assert line.count(name) == 0
    line.send([Ring(execution_id=uuid.uuid4(), attempt=0, queue=name, priority=p) for p in (0, 5, 9)])
    assert line.count(name) == 3
    line.send([])


@pytest.mark.parametrize("broker", BROKERS)
def test_a_killed_child_costs_its_own_run_a_second_call_and_nothing_else(
    make_team_world: Callable[[str], World], broker: str
) -> None:
    world = make_team_world(broker)
    team = start(world, "--concurrency", "4")
    world.add_once(24, ms=500)
    world.wait_in_flight(3)
    victim = children_in_flight(world)[0]
    os.kill(victim, signal.SIGKILL)
    killed_at = time.monotonic()
    world.wait_done(90)
    found = world.judge()
    world.notes |= {"in flight": 1, "faults": 1}
    assert found.finals == {"SUCCESS": 24}
    assert found.lost_attempts == 1, "void: no attempt was lost"
    assert found.extra_calls <= 1
    assert world.recovery(killed_at) <= RECOVERY
    wait_for(lambda: len(team.workers()) >= 5, 30, "a child in the place of the killed one")
    assert not ERROR_LINE.search(team.said), "a false alarm about the broker"


@pytest.mark.slow  # its quick like is test_kills with FAULT_ENGINE=celery
@pytest.mark.parametrize("broker", BOTH)
def test_a_killed_worker_loses_nothing_and_another_one_goes_on(
    make_team_world: Callable[[str], World], broker: str
) -> None:
    world = make_team_world(broker)
    first, second = start(world, "--concurrency", "4"), start(world, "--concurrency", "4")
    world.add_once(40, ms=400)
    world.wait_in_flight(2, first.pid)
    killed_at = first.kill()
    in_flight = len(world.in_flight(first.pid))
    world.wait_done(90)
    found = world.judge()
    world.notes |= {"in flight": in_flight, "faults": 1}
    assert found.finals == {"SUCCESS": 40}
    assert found.lost_attempts >= 1, "void: no attempt was lost"
    # A call that ended and was not written yet is in flight, too.
    assert found.extra_calls <= max(in_flight, found.lost_attempts)
    assert world.recovery(killed_at) <= RECOVERY
    assert second.alive


@pytest.mark.slow
def test_children_do_not_run_on_without_their_parent(make_team_world: Callable[[str], World]) -> None:
    """Or nobody would be there to end them at their hard limits, or to tell them to stop."""
    world = make_team_world("redis")
    first, second = start(world, "--concurrency", "2"), start(world, "--concurrency", "2")
    world.add_once(8, ms=1500)
    world.wait_in_flight(1, first.pid)
    child = next(call.child for call in world.in_flight(first.pid))
    parent = int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(parent, signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{child}").exists(), 10, "the end of the child")
    wait_for(lambda: not first.alive, 10, "the end of a team without a worker")
    in_flight = len(world.in_flight(first.pid))
    world.wait_done(60)
    found = world.judge()
    world.notes |= {"in flight": in_flight, "faults": 1}
    assert found.finals == {"SUCCESS": 8}
    assert found.lost_attempts >= 1, "void: no attempt was lost"
    assert found.extra_calls <= max(in_flight, found.lost_attempts)
    assert second.alive


@pytest.mark.parametrize("broker", BROKERS)
def test_a_broker_that_is_killed_and_started_again_costs_time_only(
    make_team_world: Callable[[str], World], broker: str
) -> None:
    world = make_team_world(broker)
    team = start(world, "--concurrency", "4")
    world.add_once(40, ms=250)
    world.wait_in_flight(3)
    broker_of(world).kill()
    down_at = time.monotonic()
    world.add_once(20, ms=20)  # planned while nobody can be told
    wait_for(lambda: ERROR_LINE.search(team.said), 30, "a word about the broker")
    wait_for(lambda: time.monotonic() > down_at + 3, 10, "three seconds without a broker")
    complaints = len(ERROR_LINE.findall(team.said))
    assert complaints <= time.monotonic() - down_at + 1, "more than a line a second"
    broker_of(world).start()
    up_at = time.monotonic()
    world.wait_done(120)
    world.notes |= {"recovery s": round(time.monotonic() - up_at, 2), "faults": 1}
    found = world.judge()
    assert found.finals == {"SUCCESS": 60}
    assert found.extra_calls == 0
    assert found.lost_attempts == 0, "a worker lost its runs with the broker"
    assert team.alive


@pytest.mark.parametrize("broker", BOTH)
def test_a_flushed_broker_is_told_again(make_team_world: Callable[[str], World], broker: str) -> None:
    world = make_team_world(broker)
    team = start(world, "--concurrency", "2")
    world.add_once(30, ms=300)
    world.wait_in_flight(2)
    rung = "SELECT count(*) FROM job_executions WHERE status = 'PENDING' AND rung_at IS NOT NULL"
    wait_for(lambda: world.database.one(rung) >= 10, 30, "messages to flush")
    broker_of(world).flush()
    flushed_at = time.monotonic()
    wait_for(lambda: "rang again" in team.said, LEASE + 2 * POLL + 2 + SLACK, "the sweeper")
    world.notes |= {"recovery s": round(time.monotonic() - flushed_at, 2), "faults": 1}
    world.wait_done(90)
    found = world.judge()
    assert found.finals == {"SUCCESS": 30}
    assert found.extra_calls == 0


def send_again(url: str, ids: list[str], times: int) -> None:
    """Messages as the doorbell writes them."""
    app = Celery("stranger", broker=url)
    arguments = {"x-queue-type": "quorum", "x-consumer-timeout": 7_200_000} if url.startswith("amqp") else {}
    exchange = Exchange("scheduler", type="direct", durable=True)
    queue = Queue(QUEUE, exchange, routing_key=QUEUE, queue_arguments=arguments)
    for key in ids * times:
        app.send_task("executions.run", args=(key, 0), queue=queue, ignore_result=True, retry=False)


@pytest.mark.parametrize("broker", BROKERS)
def test_a_doubled_message_finds_nothing_to_run(make_team_world: Callable[[str], World], broker: str) -> None:
    world = make_team_world(broker)
    team = start(world, "--concurrency", "4", LOG_LEVEL="debug")
    world.add_once(20, ms=200)
    wait_for(lambda: world.count() == 20, 30, "the ledger's rows")
    send_again(
        broker_of(world).url, [row[0] for row in world.database.fetch("SELECT id FROM job_executions")], 3
    )
    world.wait_done(60)
    wait_for(lambda: team.said.count("nothing to run of") >= 40, 60, "void: no message was doubled")
    found = world.judge()
    assert found.finals == {"SUCCESS": 20}
    assert found.calls == 20


@pytest.mark.slow
def test_a_run_that_outlasts_the_visibility_time_out_is_called_once(
    make_team_world: Callable[[str], World],
) -> None:
    world = make_team_world("redis")
    team = start(world, "--concurrency", "4", FAULT_VISIBILITY="1", LOG_LEVEL="debug")
    world.add_once(2, ms=20_000, do="stubborn")
    world.add_once(2, ms=20_000, do="stubborn", execution_type="ATMOST_ONCE")
    world.wait_in_flight(4)
    other = start(world, "--concurrency", "4", FAULT_VISIBILITY="1", LOG_LEVEL="debug")
    world.wait_done(60)
    found = world.judge()
    assert "nothing to run of" in team.said + other.said, "void: no message was handed out again"
    assert found.finals == {"SUCCESS": 4}
    assert found.calls == 4


@pytest.mark.slow
def test_a_handler_that_never_returns_is_ended_with_its_child(
    make_team_world: Callable[[str], World],
) -> None:
    world = make_team_world("redis")
    team = start(world, "--concurrency", "1")
    world.add_once(1, ms=120_000, do="stubborn", timeout_ms=1000, expect={"final": ("FAILED",)})
    world.wait_in_flight(1)
    world.add_once(3, ms=20)
    world.wait_done(60)
    found = world.judge()
    assert found.finals == {"SUCCESS": 3, "FAILED": 1}
    assert world.database.one("SELECT reason FROM job_executions WHERE status = 'FAILED'") == "timeout"
    assert len(team.workers()) >= 2, "the stuck child was not replaced"
    assert team.alive


@pytest.mark.slow
def test_a_queue_that_a_job_names_later_is_served_too(make_team_world: Callable[[str], World]) -> None:
    world = make_team_world("redis")
    start(world, "--concurrency", "2")
    world.add_once(3, ms=20, queue="reports")
    world.wait_done(30)
    assert world.judge().finals == {"SUCCESS": 3}


@pytest.mark.slow
def test_a_worker_of_named_queues_leaves_the_others_alone(make_team_world: Callable[[str], World]) -> None:
    world = make_team_world("redis")
    start(world, "--concurrency", "2", WORKER_QUEUES="reports")
    world.add_once(3, ms=20, queue="reports")
    (name,) = world.add_once(1, ms=20)
    wait_for(lambda: world.count("status = 'SUCCESS'") == 3, 30, "the runs of its queue")
    assert world.count("status = 'PENDING' AND rung_at IS NOT NULL") == 1, name
    start(world, "--concurrency", "2", WORKER_QUEUES="default")
    world.wait_done(30)
    assert world.judge().finals == {"SUCCESS": 4}


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_a_worker_without_children_runs_and_leaves_as_one_with_them(
    make_team_world: Callable[[str], World], pool: str
) -> None:
    world = make_team_world("redis")
    team = start(world, "--concurrency", "1", FAULT_POOL=pool)
    world.add_once(5, ms=50)
    world.wait_done(60)
    assert world.judge().finals == {"SUCCESS": 5}
    team.terminate()
    assert team.ended(60) == 0
    assert world.count("status = 'RUNNING'") == 0
    assert world.database.fetch("SELECT DISTINCT status FROM scheduler_metadata") == [("INACTIVE",)]


def read_messages(url: str) -> list[dict[str, object]]:
    """What Redis holds, as text; the queues are lists of JSON."""
    host, _, port = url.removeprefix("redis://").partition("/")[0].partition(":")
    messages: list[dict[str, object]] = []
    with socket.create_connection((host, int(port)), timeout=5) as line:
        reply = line.makefile("rb")
        for step in range(10):
            key = QUEUE if step == 0 else f"{QUEUE}\x06\x16{step}"
            line.sendall(
                b"*4\r\n$6\r\nLRANGE\r\n$%d\r\n%s\r\n$1\r\n0\r\n$2\r\n-1\r\n" % (len(key), key.encode())
            )
            count = int(reply.readline()[1:])
            messages += [json.loads(reply.read(int(reply.readline()[1:]) + 2)) for _ in range(count)]
    return messages


def test_a_message_names_an_execution_and_tells_nothing_about_it(
    make_team_world: Callable[[str], World],
) -> None:
    """A scheduler without workers: what it rings stays in the broker, to be read."""
    world = make_team_world("redis")
    extra = {"ENGINE": "celery", "CELERY_BROKER_URL": broker_of(world).url, "TARGET_LOG": str(world.log)}
    alone = Scheduler(world.url, world.folder / "alone.log", extra=extra)
    world.schedulers.append(alone)
    alone.ready()
    world.add_once(
        2,
        payload={"password": "canary-in-payload"},
        headers={"Authorization": "canary-in-header"},
        api_endpoint="http://127.0.0.1/?token=canary-in-url",
    )
    wait_for(lambda: len(read_messages(broker_of(world).url)) == 2, 30, "two messages")
    messages = read_messages(broker_of(world).url)
    assert "canary" not in json.dumps(messages)
    assert "canary" not in alone.said
    assert {message["content-type"] for message in messages} == {"application/json"}
    assert all("eta" not in m["headers"] or m["headers"]["eta"] is None for m in messages)  # type: ignore[index, operator]
