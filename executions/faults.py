"""Named places where a test may let a process crash, stop or fail; elsewhere they cost one comparison.

SCHEDULER_FAULT names the place, which hit of it counts and what happens then: `claim_after_commit`,
`claim_after_commit:3`, `claim_after_commit:3:stop`; several are separated by commas. Actions: `exit` (at
once, code 137, nothing is cleaned up), `stop` (SIGSTOP), `raise`. It works in the test environment only
(APP_ENV=test).
"""

from __future__ import annotations

import os
import signal

# Every place there is, in the order of a run. A test enumerates them and compares them with the code.
PLACES = (
    "register_before",
    "register_after",
    "adopt_before_commit",
    "adopt_after_commit",
    "plan_after_lock",
    "plan_before_cursors",
    "plan_before_commit",
    "plan_after_commit",
    "ring_after_mark",
    "ring_before_send",
    "claim_before_attempts",
    "claim_before_commit",
    "claim_after_commit",
    "submit_between",
    "confirm_before_commit",
    "confirm_after_commit",
    "call_before",
    "call_after",
    "checkpoint_after",
    "complete_before",
    "finish_after_move",
    "finish_after_letter",
    "finish_before_commit",
    "complete_after_commit",
    "renew_before_commit",
    "renew_after_commit",
    "progress_before_commit",
    "reap_before_commit",
    "reap_after_commit",
    "beat_after",
    "duty_before_commit",
    "duty_after_commit",
    "requeue_before_close",
    "release_before",
    "leave_before",
)


class Fault(Exception):
    """Raised at a place that was told to fail."""


_armed: dict[str, tuple[int, str]] = {}  # by place: the hits until it happens, and what
if os.environ.get("APP_ENV") == "test":
    for _one in filter(None, os.environ.get("SCHEDULER_FAULT", "").split(",")):
        _place, _hits, _action, *_ = [*_one.split(":"), "", ""]
        if _place not in PLACES or _action not in ("", "exit", "stop", "raise"):
            raise ValueError(f"SCHEDULER_FAULT names no place or action: {_place}, {_action}")
        _armed[_place] = (int(_hits or 1), _action or "exit")


def fault(place: str) -> None:
    """Do nothing, unless this run of this place was told to crash, stop or fail."""
    if place in _armed:
        _hit(place)


def _hit(place: str) -> None:
    hits, action = _armed[place]
    _armed[place] = (hits - 1, action)
    if hits != 1:
        return
    os.write(2, f"fault: {action} at {place}\n".encode())
    if action == "exit":
        os._exit(137)
    if action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        raise Fault(place)
