"""The handlers of the fault tests. Each call is one line at its start and one at its end, by O_APPEND.

`do` in the payload chooses the behaviour, `ms` how long a call takes.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from jobs.contract import PermanentError, Progress, Result, RetryLater, Run
from jobs.registry import handler


def note(run: Run, what: str, **more: object) -> None:
    """Append one line in one write; the moment is on the machine's monotonic clock."""
    line = {
        "what": what,
        "execution": run.id.hex,
        "attempt": run.attempt,
        "job": run.job.name,
        "at": time.monotonic(),
        # Of a scheduler, an isolated handler or a team: each leads its process group.
        "pid": os.getpgid(0),
        "child": os.getpid(),
        **more,
    }
    descriptor = os.open(os.environ["TARGET_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, (json.dumps(line) + "\n").encode())
    finally:
        os.close(descriptor)


@handler("target")
def target(run: Run) -> Result | None:
    """Does what the payload's `do` says for `ms` milliseconds; every call is written down."""
    return _serve(run)


@handler("target-apart", isolation="process")
def target_apart(run: Run) -> Result | None:
    """The same in a process of its own."""
    return _serve(run)


def _serve(run: Run) -> Result | None:
    do = run.params.get("do", "ok")
    note(run, "start")
    try:
        return _act(run, do)
    finally:
        note(run, "end")


def _act(run: Run, do: str) -> Result | None:  # noqa: C901 - one line for each behaviour
    seconds = run.params.get("ms", 0) / 1000
    if do == "stubborn":  # does not look whether it shall stop
        time.sleep(seconds)
    elif seconds:
        run.stop.wait(seconds)
    if do in ("exit", "kill", "segv"):
        _die(do)
    if do == "fail":
        raise RuntimeError("the target fails on purpose")
    if do == "fail-first" and run.attempt <= int(run.params.get("times", 1)):
        raise RetryLater("the target fails at first")
    if do == "talk":
        for number in range(20):
            run.log.info(f"line {number}")  # noqa: G004 - no logger: lines kept with the run
            run.progress(number, 20)
        run.stop.wait(0.4)
    if do == "checkpoint":
        for number in range(run.committed.processed + 1, 6):
            run.checkpoint(Progress(processed=number, success=number))
            run.stop.wait(0.02)
        return Result(total=5, success=5)
    if do == "base":
        raise _Odd("not even an Exception")
    if do in STRANGE:
        answer: Result | None = STRANGE[do]()
        return answer
    run.check_stop()
    return Result(total=1, success=1)


def _die(how: str) -> None:
    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), signal.SIGSEGV if how == "segv" else signal.SIGKILL)
    time.sleep(60)


class _Odd(BaseException):
    """What careless libraries raise to pass every `except Exception`."""


class _Unspeakable:
    def __str__(self) -> str:
        raise ValueError("no words")


def _raise(error: Exception) -> Result:
    raise error


# Answers that no database takes as they are. One call, then a final state, whatever it is.
STRANGE: dict[str, Callable[[], Any]] = {
    "nul": lambda: Result(total=1, success=1, data={"a\x00": "b\x00c"}, body="x\x00y"),
    "surrogate": lambda: Result(total=1, success=1, data=["\ud800"], body="\udfff"),
    "nan": lambda: Result(total=1, success=1, data=[float("nan"), float("inf")]),
    "huge": lambda: Result(total=1, success=1, data="x" * 50_000_000, body="y" * 50_000_000),
    "bytes": lambda: Result(total=1, success=1, data=b"\xff\xfe\x00", body=b"\xff".decode("latin-1")),
    "digits": lambda: Result(total=1, success=1, data=10**5000),
    "code": lambda: Result(total=1, success=1, status_code="teapot"),  # type: ignore[arg-type]
    "big-code": lambda: Result(total=1, success=1, status_code=10**12),
    "keys": lambda: Result(total=1, success=1, data={_Unspeakable(): 1, 2: _Unspeakable()}),
    "no-words": lambda: Result(total=1, failure=1, reason=_Unspeakable()),  # type: ignore[arg-type]
    "totals": lambda: Result(total=2**40, success=-1),
    "not-a-result": lambda: "done",
    "nul-error": lambda: _raise(ValueError("a\x00b\ud800")),
    "odd-reason": lambda: _raise(PermanentError("no", reason="a reason that no column has room for")),
    "odd-totals": lambda: _raise(PermanentError("no", totals=(2**40, -1, 0))),
    "odd-code": lambda: _raise(PermanentError("no", status_code=10**12)),
}
