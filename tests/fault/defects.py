"""Ten known defects, each seeded into a started process, to see that the harness catches them.

Each one takes away a piece of what keeps the promise, in the way a careless change would.
"""

from __future__ import annotations

import inspect
import itertools
import socket
from collections.abc import Callable
from typing import Any

DEFECTS: dict[str, Callable[[], None]] = {}


def seed(name: str) -> None:
    """Break this process as FAULT_DEFECT says; nothing where it is empty."""
    if name:
        DEFECTS[name]()


def defect(function: Callable[[], None]) -> Callable[[], None]:
    """Register a defect under its function's name."""
    DEFECTS[function.__name__] = function
    return function


def _rewrite(module: Any, old: str, new: str) -> None:
    """Let the statements of a module say something else. Raises AssertionError where none says it."""
    assert old.strip() in inspect.getsource(module), f"no statement of {module.__name__} says {old!r}"
    for name in ("fetch", "write"):
        original = getattr(module, name, None)
        if original is not None:
            setattr(module, name, _replacing(original, old, new))


def _replacing(original: Callable[..., Any], old: str, new: str) -> Callable[..., Any]:
    return lambda sql, params=(): original(sql.replace(old, new), params)


@defect
def no_token() -> None:
    """Later writes ask for the state, not for the token of the claim."""
    from executions.lifecycle import claims, completion, progress

    for module in (claims, completion, progress):
        setattr(module, "STILL_OURS", "e.status = 'RUNNING'")  # noqa: B010


@defect
def no_status() -> None:
    """The claim takes what it saw waiting, whatever has become of it, and locks nothing while it looks."""
    from executions.engine import facts
    from executions.lifecycle import takes

    setattr(takes, "STILL_WAITS", "true")  # noqa: B010
    for lock in ("FOR UPDATE OF e SKIP LOCKED", "FOR NO KEY UPDATE OF j SKIP LOCKED"):
        _rewrite(facts, lock, "")


@defect
def no_unique_key() -> None:
    """The ledger takes an occurrence as often as it is planned (the test drops the index, too)."""
    from executions.lifecycle import occurrences

    _rewrite(occurrences, "ON CONFLICT (job_id, scheduled_at) WHERE trigger = 'schedule' DO NOTHING", "")


@defect
def split_plan() -> None:
    """The cursors move in one transaction, the occurrences are written in a later one."""
    from executions import lifecycle
    from executions.engine import planner

    write, plan_due = lifecycle.plan, planner.plan_due
    kept: list[Any] = []

    def keep(rows: Any, now: Any) -> set[Any]:
        kept.extend(rows)
        return {row.id for row in rows}

    def plan_later(now: Any, **options: Any) -> Any:
        lifecycle.plan = keep
        try:
            done = plan_due(now, **options)
        finally:
            lifecycle.plan = write
        rows = list(kept)
        kept.clear()
        write(rows, now)
        return done

    planner.plan_due = plan_later


@defect
def host_clock() -> None:
    """The engine asks its own host for the time."""
    from datetime import UTC, datetime

    from executions.engine import clock

    clock.now = lambda: datetime.now(UTC)


@defect
def no_reaper() -> None:
    """Nobody looks for leases that ended."""
    from executions.engine import reaper

    reaper.reap = lambda now, lease: 0


@defect
def unbounded_catch_up() -> None:
    """All missed fire times are planned at once."""
    from executions.engine import planning

    planning.MAX_PER_PASS = planning.MAX_WAITING = 1_000_000


@defect
def unsanitised_output() -> None:
    """What a handler answers goes to the database as it is."""
    from executions.lifecycle import completion

    setattr(completion, "clean_text", lambda text, **_: (text, False))  # noqa: B010
    setattr(completion, "clean_json", lambda value: (value, False))  # noqa: B010


@defect
def judge_then_resolve() -> None:
    """The egress guard judges one answer of the name server, the connection asks for another."""
    from executions.http import connection

    def dial(self: Any, host: str, port: int, watch: Any) -> Any:
        self._guard.judge(host, self._resolver.resolve(host, port, watch))
        again = self._resolver.resolve(host, port, watch)
        return connection._connect(again[0], port, watch, watch.left())

    connection.Dialer.dial = dial  # type: ignore[method-assign]


@defect
def no_owner_filter() -> None:
    """Lists and details show what belongs to others."""
    from jobs.models.owned import OwnedQuerySet

    OwnedQuerySet.visible_to = lambda self, user: self.all()  # type: ignore[method-assign]


def answer_names(addresses: str) -> None:
    """Be the name server of `rebind.test`: these addresses in turn, one an answer."""
    if not addresses:
        return
    turn = itertools.cycle(addresses.split(","))
    ask = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        if host == "rebind.test" and not options.get("flags", 0) & socket.AI_NUMERICHOST:
            return ask(next(turn), *arguments, **options)
        return ask(host, *arguments, **options)

    socket.getaddrinfo = getaddrinfo
