"""Alerts while schedulers die and compete: told once, or again under the same id, never lost."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid

from executions.http.signature import verify
from tests.e2e.alerts.listeners import Hook, hook
from tests.fault.processes import wait_for
from tests.fault.world import World

SECRET = "whsec_YWxlcnRzIHVuZGVyIGZhdWx0cw=="
OPEN = {"HTTP_ALLOWED_CIDRS": "127.0.0.0/8", "WEBHOOK_SECRET": SECRET}


def add_alert(world: World, receiver: Hook, **conditions: object) -> None:
    """An alert for every job without an owner, as SQL would write it."""
    row = {"id": uuid.uuid4(), "type": "WEBHOOK", "endpoint": receiver.url, "conditions": conditions}
    world.database.insert("job_alerts", [row])


def count_deliveries(world: World, status: str) -> int:
    return int(world.database.one("SELECT count(*) FROM alert_deliveries WHERE status = %s", [status]))


def test_an_alert_whose_sender_is_killed_before_it_can_say_so_comes_again_with_the_same_id(
    world: World,
) -> None:
    with hook() as receiver:
        receiver.hold = threading.Event()
        add_alert(world, receiver)
        sender = world.start(**OPEN)
        world.add_once(1, do="fail", expect={"final": ("FAILED",)})
        assert receiver.arrived.wait(60)
        os.kill(sender.pid, signal.SIGKILL)  # the message is there, the answer is not
        sender.ended()
        receiver.hold.set()
        assert world.database.fetch("SELECT status, tries FROM alert_deliveries") == [("PENDING", 1)]

        world.start(**OPEN)
        # The minute that a claim holds is over.
        world.database.write("UPDATE alert_deliveries SET next_try_at = created_at")
        posts = receiver.inbox.wait_for(2)
        wait_for(lambda: count_deliveries(world, "DELIVERED") == 1, 20, "the outcome")

    assert len({post.headers["webhook-id"] for post in posts}) == 1
    for post in posts:
        verify(SECRET, post.headers, post.raw, now=time.time())
    assert world.database.one("SELECT tries FROM alert_deliveries") == 2
    world.judge()


def test_two_schedulers_tell_every_episode_once(shared_world: World) -> None:
    world = shared_world
    with hook() as receiver:
        add_alert(world, receiver, onDeadLetter=True)
        world.start(**OPEN)
        world.start(**OPEN)
        jobs = world.add_every_second(6, 8, do="fail", expect={"final": ("FAILED",)})
        world.wait_done()
        wait_for(lambda: count_deliveries(world, "DELIVERED") >= 2 * len(jobs), 60, "the alerts")
        last = world.add_once(1, do="fail", expect={"final": ("FAILED",)})  # what comes now comes after all
        wait_for(lambda: count_deliveries(world, "DELIVERED") >= 2 * len(jobs) + 2, 60, "the last alert")

    told = [(post.body["type"], post.body["data"]["job"]["name"]) for post in receiver.posts]
    assert sorted(told) == sorted(
        (event, name) for event in ("job.failed", "job.dead_letter") for name in [*jobs, *last]
    )
    assert count_deliveries(world, "PENDING") == count_deliveries(world, "FAILED") == 0
    world.judge()
