"""The life of an execution: every arrow there is. Pure; `docs/lifecycle.md` shows it as a chart."""

from __future__ import annotations

from dataclasses import dataclass

NEW = "—"
PENDING = "PENDING"
RUNNING = "RUNNING"
RETRYING = "RETRYING"
SUCCESS = "SUCCESS"
FAILED = "FAILED"
CANCELLED = "CANCELLED"
SKIPPED = "SKIPPED"


@dataclass(frozen=True)
class Arrow:
    """One allowed move and the verb that makes it."""

    source: str
    target: str
    verb: str


ARROWS = (
    Arrow(NEW, PENDING, "plan"),
    Arrow(NEW, SKIPPED, "plan"),
    Arrow(PENDING, RUNNING, "claim"),
    Arrow(RETRYING, RUNNING, "claim"),
    Arrow(RUNNING, SUCCESS, "succeed"),
    Arrow(RUNNING, RETRYING, "fail"),
    Arrow(RUNNING, RETRYING, "rescue"),
    Arrow(RUNNING, FAILED, "fail"),
    Arrow(RUNNING, FAILED, "rescue"),
    Arrow(RUNNING, FAILED, "release"),
    Arrow(RUNNING, PENDING, "release"),
    Arrow(RUNNING, CANCELLED, "cancel"),
    Arrow(PENDING, CANCELLED, "cancel"),
    Arrow(RETRYING, CANCELLED, "cancel"),
    Arrow(PENDING, SKIPPED, "skip"),
)


def sources(target: str) -> tuple[str, ...]:
    """The states that `target` may be entered from."""
    return tuple(dict.fromkeys(arrow.source for arrow in ARROWS if arrow.target == target))
