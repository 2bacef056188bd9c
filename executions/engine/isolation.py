"""A handler in a process of its own: killed at its deadline or when it is cancelled."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from executions.engine import clock
from jobs.contract import HandlerError, Progress, Result, Run, Stopped
from web import tracing
from web.spans import Carrier

STEP = 0.1  # seconds between looks at deadline and stop request
_context = multiprocessing.get_context("spawn")


class Died(HandlerError):
    """The process of an isolated handler ended without an answer."""


def call(handler: str, run: Run, payload: Any) -> Result | None:
    """Run the handler in a fresh process; answers or raises what it did.

    A request to stop ends the whole process group at once; so does the deadline, which is
    told apart by `run.stop`'s cause. A process that dies by itself raises `Died`.
    """
    ours, theirs = _context.Pipe()
    told = tracing.carrier()
    process = _context.Process(
        target=_serve, args=(theirs, handler, _portable(run), payload, told), daemon=False
    )
    process.start()
    theirs.close()
    try:
        return _follow(process, ours, run)
    finally:
        _kill(process)
        ours.close()


def _portable(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "scheduled_at": run.scheduled_at,
        "attempt": run.attempt,
        "trigger": run.trigger,
        "job": replace(run.job, headers=dict(run.job.headers)),
        "committed": run.committed,
    }


def _follow(process: SpawnProcess, pipe: Connection, run: Run) -> Result | None:
    while True:
        if run.stop.is_set():
            raise Stopped("the process was ended on request")
        if run.deadline is not None and clock.monotonic() > run.deadline:
            raise HandlerError(f"timeout of {run.job.timeout_ms}ms exceeded", reason="timeout")
        if not pipe.poll(STEP):
            if process.is_alive() or pipe.poll(0):
                continue
            raise Died(f"the handler's process died ({_ending(process.exitcode)})")
        try:
            kind, value = pipe.recv()
        except EOFError:
            process.join(1)
            raise Died(f"the handler's process died ({_ending(process.exitcode)})") from None
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


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def _kill(process: SpawnProcess) -> None:
    if process.is_alive() and process.pid is not None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()
    process.join(5)


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


def _serve(pipe: Connection, handler: str, portable: dict[str, Any], payload: Any, told: Carrier) -> None:
    """The child: set up Django, call the handler, send what came of it."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, name="parent", daemon=True).start()
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


def _follow_parent() -> None:
    """A killed scheduler must leave no call behind that runs beside the next attempt."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
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
