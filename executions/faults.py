"""Named places where a test may let a process crash, stop or fail; elsewhere they cost one comparison.

SCHEDULER_FAULT names the place, which hit of it counts and what happens then: `claim_after_commit`,
`claim_after_commit:3`, `claim_after_commit:3:stop`. Actions: `exit` (at once, code 137, nothing is
cleaned up), `stop` (SIGSTOP), `raise`. It works in the test environment only (APP_ENV=test).
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


_place, _hits, _action = "", 0, "exit"
if os.environ.get("APP_ENV") == "test":
    _place, _, _rest = os.environ.get("SCHEDULER_FAULT", "").partition(":")
    _hits = int(_rest.partition(":")[0] or 1)
    _action = _rest.partition(":")[2] or "exit"
if _place and (_place not in PLACES or _action not in ("exit", "stop", "raise")):
    raise ValueError(f"SCHEDULER_FAULT names no place or action: {_place}, {_action}")


def fault(place: str) -> None:
    """Do nothing, unless this run of this place was told to crash, stop or fail."""
    if place == _place:
        _hit()


def _hit() -> None:
    global _hits
    _hits -= 1
    if _hits != 0:
        return
    os.write(2, f"fault: {_action} at {_place}\n".encode())
    if _action == "exit":
        os._exit(137)
    if _action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        raise Fault(_place)
