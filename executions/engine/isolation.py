"""A handler in a process of its own: killed at its deadline or when it is cancelled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from multiprocessing.connection import Connection, Pipe
from typing import Any

from executions.engine import clock
from jobs.contract import HandlerError, Progress, Result, Run, Stopped
from web import tracing

STEP = 0.1  # seconds between looks at deadline and stop request
# A program of its own and not a Process of multiprocessing: a worker of Celery may have none of those.
PROGRAM = (sys.executable, "-c", f"import sys; from {__name__} import serve; serve(int(sys.argv[1]))")


class Died(HandlerError):
    """The process of an isolated handler ended without an answer."""


def call(handler: str, run: Run, payload: Any) -> Result | None:
    """Run the handler in a fresh process; answers or raises what it did.

    A request to stop ends the whole process group at once; so does the deadline, which is
    told apart by `run.stop`'s cause. A process that dies by itself raises `Died`.
    """
    ours, theirs = Pipe()
    with ours, theirs:
        process = subprocess.Popen(
            [*PROGRAM, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        try:
            return _follow(process, ours, run, (handler, _portable(run), payload, tracing.carrier()))
        finally:
            _kill(process)


def _portable(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "scheduled_at": run.scheduled_at,
        "attempt": run.attempt,
        "trigger": run.trigger,
        "job": replace(run.job, headers=dict(run.job.headers)),
        "committed": run.committed,
    }


def _follow(process: subprocess.Popen[bytes], pipe: Connection, run: Run, task: Any) -> Result | None:
    _send_task(pipe, task)
    while True:
        if run.stop.is_set():
            raise Stopped("the process was ended on request")
        if run.deadline is not None and clock.monotonic() > run.deadline:
            raise HandlerError(f"timeout of {run.job.timeout_ms}ms exceeded", reason="timeout")
        if not pipe.poll(STEP):
            if not _has_ended(process) or pipe.poll(0):
                continue
            raise _died(process)
        try:
            kind, value = pipe.recv()
        except (EOFError, ConnectionError):
            raise _died(process) from None
        if kind == "result":
            return value  # type: ignore[no-any-return]
        if kind == "error":
            raise value
        _relay(kind, value, run)


def _relay(kind: str, value: Any, run: Run) -> None:
    if kind == "progress":
        run.report(value)
    elif kind == "log":
        level, message, metadata = value
        getattr(run.log, level)(message, **metadata)


def _send_task(pipe: Connection, task: Any) -> None:
    try:
        pipe.send(task)
    except ConnectionError:
        pass  # it died at its start, which `_follow` finds


def _died(process: subprocess.Popen[bytes]) -> Died:
    until = clock.monotonic() + 1.0
    while not (ended := _has_ended(process)) and clock.monotonic() < until:
        time.sleep(0.01)
    code = _kill(process)
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return Died(f"the handler's process died ({how})" if ended else "the handler's process hung up")


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it ended. It is not waited for, so that its number stays its own until the group is killed."""
    looked = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return process.returncode is not None or os.waitid(os.P_PID, process.pid, looked) is not None


def _kill(process: subprocess.Popen[bytes]) -> int:
    """End it and whatever it started, at once; answers its exit code."""
    if process.returncode is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return process.wait()


class _PipeLog:
    """Sends log lines to the parent."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def debug(self, message: str, **metadata: Any) -> None:
        self._pipe.send(("log", ("debug", message, metadata)))

    def info(self, message: str, **metadata: Any) -> None:
        self._pipe.send(("log", ("info", message, metadata)))

    def warning(self, message: str, **metadata: Any) -> None:
        self._pipe.send(("log", ("warning", message, metadata)))

    def error(self, message: str, **metadata: Any) -> None:
        self._pipe.send(("log", ("error", message, metadata)))


def serve(descriptor: int) -> None:
    """The child: set up Django, call the handler, send what came of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe = Connection(descriptor)
    handler, portable, payload, told = pipe.recv()
    threading.Thread(target=_follow_parent, args=(pipe,), name="parent", daemon=True).start()
    import django

    django.setup()
    from jobs.registry import handlers

    def report(progress: Progress) -> None:
        pipe.send(("progress", progress))

    def save(progress: Progress) -> None:
        raise HandlerError("checkpoints need a handler that runs in a thread")

    try:
        found = handlers.get(handler)
        run = Run(
            **portable,
            params=found.read_params(payload if isinstance(payload, dict) else {}),
            log=_PipeLog(pipe),
            report=report,
            save=save,
        )
        with tracing.span(f"process {handler}", parent=told):
            answer: tuple[str, Any] = ("result", found.function(run) or Result())
    except BaseException as error:
        answer = ("error", _sendable(error))
    tracing.flush()  # the process is killed as soon as it has answered
    _send(pipe, answer)


def _follow_parent(pipe: Connection) -> None:
    """A killed scheduler must leave no call behind that runs beside the next attempt."""
    pipe.poll(None)  # it says nothing more: what there is to read is its end
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _sendable(error: BaseException) -> BaseException:
    if type(error).__module__ == "jobs.contract":
        return error
    return HandlerError(str(error) or type(error).__name__)


def _send(pipe: Connection, answer: tuple[str, Any]) -> None:
    try:
        pipe.send(answer)
    except Exception as error:  # an answer that cannot be sent is the handler's fault, and is said
        pipe.send(("error", HandlerError(f"the answer cannot be sent: {error}", reason="invalid_output")))
