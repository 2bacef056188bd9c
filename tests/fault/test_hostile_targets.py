"""Targets that drip, never end or send bombs, called by a real scheduler (cases 19, 30): slots and memory."""

from __future__ import annotations

import re
from pathlib import Path

from tests.e2e.http_targets import HttpTarget
from tests.fault.processes import SLACK, Scheduler
from tests.fault.world import World

SHORT, LONG = 1000, 20_000  # milliseconds: for what never ends, for what is only a lot
EACH = 2
# What may be kept of an answer (64 KiB), and 4 MiB for what it takes to read it.
ALLOWED_MIB = 4 + 64 / 1024
# How an attempt ends, by the target's behaviour.
ENDINGS = {
    "silent": "timeout",
    "drip-head": "timeout",
    "drip-body": "timeout",
    "drip-chunks": "timeout",
    "infinite": "",
    "million-chunks": "",
    "gzip-bomb": "",
    "deflate-bomb": "",
    "nested-bomb": "",
    "nul": "",
    "infinite-chunk-size": "error",
    "infinite-trailers": "",
    "infinite-interim": "too_large",
    "headers/1000": "too_large",
    "big-headers/70000": "too_large",
    "bad-length": "error",
    "bad-chunk": "error",
    "reset": "error",
    "hang-up": "error",
    "no-http": "error",
}


def test_hostile_targets_hold_no_slot_and_no_memory(world: World) -> None:
    with HttpTarget() as target:
        slots = EACH * len(ENDINGS)
        # Nothing is killed here: the usual lease, so that a busy machine loses none.
        scheduler = world.start(
            "--concurrency", str(slots), HTTP_ALLOWED_CIDRS="127.0.0.0/8", LEASE_SECONDS="30"
        )
        warm_up(world, target)
        Path(f"/proc/{scheduler.pid}/clear_refs").write_text("5")
        before = memory(scheduler, "VmRSS")
        for behaviour, ending in ENDINGS.items():
            add_call(world, target.url(f"/{behaviour}"), timeout_ms=SHORT if ending == "timeout" else LONG)
        world.wait_done(30 + 10 * SLACK)
        grown = memory(scheduler, "VmHWM") - before

    world.notes |= {"executions": world.count(), "faults": f"memory +{grown:.0f} MiB over {slots} calls"}
    for path, reason, status, attempts, spent in outcomes(world):
        assert (reason or "") == ENDINGS.get(path, ""), path
        assert status == ("FAILED" if reason else "SUCCESS"), path
        assert attempts == 1, path
        assert reason != "timeout" or SHORT <= spent <= SHORT + 1000 + 1000 * SLACK, path
    assert grown <= ALLOWED_MIB * slots
    assert scheduler.alive


def add_call(world: World, url: str, *, timeout_ms: int) -> None:
    """Jobs that call the address once; one attempt each."""
    world.add_once(
        EACH,
        expect={"final": ("SUCCESS", "FAILED")},
        handler=None,
        api_endpoint=url,
        timeout_ms=timeout_ms,
    )


def warm_up(world: World, target: HttpTarget) -> None:
    """Let the process load what its first calls load."""
    add_call(world, target.url("/ok"), timeout_ms=LONG)
    world.wait_done(60)


def outcomes(world: World) -> list[tuple[str, str | None, str, int, int]]:
    """Path, reason, state, attempt rows and milliseconds of every execution."""
    rows = world.database.fetch(
        "SELECT j.api_endpoint, e.reason, e.status,"
        " (SELECT count(*) FROM batch_job_logs AS l WHERE l.execution_id = e.id), e.execution_duration_ms"
        " FROM job_executions AS e JOIN batch_jobs AS j ON j.id = e.job_id"
    )
    return [(re.sub(r"https?://[^/]*/", "", url), *rest) for url, *rest in rows]


def memory(scheduler: Scheduler, name: str) -> float:
    """A figure of the process's memory, in MiB."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{scheduler.pid}/status").read_text())
    assert found
    return int(found[1]) / 1024
