"""Runs one program for `executions.shell`, and ends it when the scheduler's process is gone.

Started as a script of its own (`python -I -S keeper.py PIPE PROGRAM ARGUMENT …`), so it knows the
standard library only. It leads the process group that the program lives in. PIPE is a descriptor
whose other end the scheduler holds: when that closes, the scheduler was killed, and a program that
ran on would run beside its own next attempt.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
import time

GRACE = 2.0  # seconds between the polite signal and the other one
NOT_STARTED = 127


def main(life: int, argv: list[str]) -> int:
    """Start the program, wait for its end or for the end of the pipe; answers the exit code."""
    os.set_inheritable(life, False)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    # The group is asked to end by a signal to all of it; the keeper stays to see the program go.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    program = os.fork()
    if program == 0:
        _become(argv)
    # Their ends are the program's alone: what it closes shall count as closed.
    for descriptor in (0, 1, 2):
        os.close(descriptor)
    while True:
        ready, _, _ = select.select([life, woken], [], [])
        done, status = os.waitpid(program, os.WNOHANG)
        if done:
            return _leave_as(status)
        if life in ready:
            _end_group(program)
            return NOT_STARTED
        os.read(woken, 512)


def _become(argv: list[str]) -> None:
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - a path and a list, which is the point
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(NOT_STARTED)


def _end_group(program: int) -> None:
    os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline:
        if os.waitpid(program, os.WNOHANG)[0]:
            break
        time.sleep(0.02)
    os.killpg(0, signal.SIGKILL)


def _leave_as(status: int) -> int:
    """The program's exit code; where a signal ended it, the same one ends the keeper."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        # The program has left its core file, if it leaves any; this is not one more.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return abs(code)


if __name__ == "__main__":
    # Its streams are closed already, so there is nothing to flush.
    os._exit(main(int(sys.argv[1]), sys.argv[2:]))
