"""A program in a process group of its own: its output read and bounded, ended at the deadline."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from executions.engine import clock

STEP = 0.1  # seconds between looks at the request to stop and at the deadline
CLOSED_STEP = 0.02
TERM_GRACE = 1.0  # seconds between SIGTERM and SIGKILL
LAST_WORDS = 2.0  # seconds that output may come after the group was killed
MAX_LINE = 4096
TAIL = 2000  # bytes of each stream's end
KEEPER = Path(__file__).with_name("keeper.py")

Say = Callable[[str, str], None]


class NotFound(Exception):
    """The program to run does not exist, or may not be run."""


@dataclass(kw_only=True)
class Stream:
    """What one stream brought: the first `limit` bytes, how many there were, and its end."""

    limit: int
    kept: bytearray = field(default_factory=bytearray)
    length: int = 0
    last: bytes = b""
    _rest: bytes = field(default=b"", init=False)

    def take(self, block: bytes) -> list[str]:
        """Take a block; answers the lines that it completes."""
        self.length += len(block)
        self.kept += block[: max(0, self.limit - len(self.kept))]
        self.last = (self.last + block)[-TAIL:]
        *lines, self._rest = (self._rest + block).split(b"\n")
        if len(self._rest) > MAX_LINE:
            lines, self._rest = [*lines, self._rest], b""
        return [_text(line[:MAX_LINE]).rstrip("\r") for line in lines]

    def end(self) -> list[str]:
        """The last line, where it had no end."""
        rest, self._rest = self._rest, b""
        return [_text(rest)] if rest else []

    @property
    def text(self) -> str:
        """What was kept."""
        return _text(bytes(self.kept))

    @property
    def tail(self) -> str:
        """The last of it."""
        return _text(self.last)

    @property
    def truncated(self) -> bool:
        """Whether there was more than was kept."""
        return self.length > len(self.kept)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a program ended: `code` is its exit code, negative for a signal. `stopped` is why it was ended."""

    code: int
    stdout: Stream
    stderr: Stream
    stopped: str = ""

    @property
    def words(self) -> str:
        """The ending in words: `exit code 2`, `signal SIGSEGV`."""
        if self.code >= 0:
            return f"exit code {self.code}"
        try:
            return f"signal {signal.Signals(-self.code).name}"
        except ValueError:
            return f"signal {-self.code}"


def find_program(name: str, environment: Mapping[str, str], directory: str | None) -> str:
    """Where the program lies, looked for in the PATH it will have; raises NotFound."""
    if "/" in name:
        path = Path(directory or ".", name)
        if path.is_file() and os.access(path, os.X_OK):
            return str(path.absolute())
    elif found := shutil.which(name, path=environment.get("PATH", os.defpath)):
        return found
    raise NotFound(f"{name} is not a program that can be run here")


def run_program(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: str | None = None,
    stdin: str | None = None,
    limit: int,
    deadline: float | None,
    should_stop: Callable[[], bool],
    say: Say,
) -> Ended:
    """Run a program to its end; `argv[0]` is its path, nothing passes through a shell.

    1. It starts in a new session, under a keeper that ends it should this process be killed.
    2. Its output goes to `say(stream, line)` as it comes; the first `limit` bytes of each stream are kept.
    3. At the deadline (monotonic seconds) or when `should_stop()` is true the whole process group gets
       SIGTERM, a second later SIGKILL. What a program that ended left behind in its group is killed too.
    """
    life, held = os.pipe()
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, held)
        source: int | IO[bytes] = subprocess.DEVNULL
        if stdin is not None:
            source = stack.enter_context(tempfile.TemporaryFile())
            source.write(stdin.encode("utf-8", "replace"))
            source.seek(0)
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(KEEPER), str(life), *argv],
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(environment),
                cwd=directory,
                pass_fds=(life,),
                start_new_session=True,
            )
        finally:
            os.close(life)
        with process:
            return _Watch(process, limit, say).follow(deadline, should_stop)


class _Watch:
    """Reads a process's output until it ends, or is ended."""

    def __init__(self, process: subprocess.Popen[bytes], limit: int, say: Say) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._say = say
        self._streams = {"stdout": Stream(limit=limit), "stderr": Stream(limit=limit)}
        self._selector = selectors.DefaultSelector()
        for name, pipe in (("stdout", process.stdout), ("stderr", process.stderr)):
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ, name)

    def follow(self, deadline: float | None, should_stop: Callable[[], bool]) -> Ended:
        stopped = ""
        try:
            while not self._has_ended() and not stopped:
                self._read(STEP)
                if should_stop():
                    stopped = "request"
                elif deadline is not None and clock.monotonic() > deadline:
                    stopped = "deadline"
            if stopped:
                self._ask_to_end()
        finally:
            self._signal(signal.SIGKILL)  # and whatever it left behind in its group
        self._read_rest()
        for name, stream in self._streams.items():
            self._tell(name, stream.end())
        code = self._process.wait()
        return Ended(
            code=code, stdout=self._streams["stdout"], stderr=self._streams["stderr"], stopped=stopped
        )

    def _read(self, wait: float) -> None:
        if not self._selector.get_map():
            time.sleep(min(wait, CLOSED_STEP))  # both streams are closed, only its end is left to see
            return
        for key, _ in self._selector.select(wait):
            block = os.read(key.fd, 65_536)
            if block:
                self._tell(key.data, self._streams[key.data].take(block))
            else:
                self._selector.unregister(key.fileobj)

    def _tell(self, name: str, lines: list[str]) -> None:
        for line in lines:
            if line.strip():
                self._say(name, line)

    def _ask_to_end(self) -> None:
        self._signal(signal.SIGTERM)
        ends_at = clock.monotonic() + TERM_GRACE
        while not self._has_ended() and clock.monotonic() < ends_at:
            self._read(0.02)

    def _has_ended(self) -> bool:
        """Whether the leader ended. It is not reaped yet, so that its number cannot be another's."""
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _read_rest(self) -> None:
        """What is in the pipes still; a process that left the group may hold them open for ever."""
        ends_at = clock.monotonic() + LAST_WORDS
        while self._selector.get_map() and clock.monotonic() < ends_at:
            self._read(0.02)
        self._selector.close()


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
