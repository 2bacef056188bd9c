"""The handler `command`: a program with its arguments, never a line for a shell."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from executions.output import CUT, clean_text
from executions.processes import Ended, NotFound, Stream, find_program, run_program
from jobs.contract import HandlerError, PermanentError, Result, Run, Stopped
from web.moments import format_moment
from web.redaction import is_secret, redact

# What a program may see of our own environment, which holds the secrets of the whole scheduler.
ALLOWED = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR")
ALLOWED_PREFIX = "LC_"
KEPT = 30_720  # bytes of each of the two streams, so 61,440 together
MAX_LINES = 1000
SHORTEST_SECRET = 4
FAILED = (1, 0, 1)
MAX_ARGUMENTS = 1000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Command:
    """The parameters of `command`. `argv` is the program and its arguments, each as it is."""

    # Only JSON types are checked before this is made; what lists and objects hold is checked below.
    argv: list[Any]
    env: dict[str, Any] = field(
        default_factory=dict, metadata={"description": "environment variables besides the allowed ones"}
    )
    cwd: str | None = field(default=None, metadata={"description": "directory to run in (absolute)"})
    stdin: str | None = field(default=None, metadata={"description": "text for its standard input"})
    successCodes: list[Any] = field(  # noqa: N815 - the name on the wire
        default_factory=lambda: [0], metadata={"description": "exit codes that count as success"}
    )

    def __post_init__(self) -> None:
        problems = [*self._argv_problems(), *self._env_problems()]
        if self.cwd is not None and not Path(self.cwd).is_absolute():
            problems.append("cwd: must be an absolute path")
        codes = self.successCodes
        if not codes or not all(type(code) is int and 0 <= code <= 255 for code in codes):
            problems.append("successCodes: must be exit codes from 0 to 255")
        if problems:
            raise ValueError("; ".join(problems))

    def _argv_problems(self) -> list[str]:
        if not self.argv or not all(isinstance(word, str) for word in self.argv):
            return ["argv: must be a list of texts, the program first"]
        if len(self.argv) > MAX_ARGUMENTS:
            return [f"argv: must have at most {MAX_ARGUMENTS} parts"]
        if not self.argv[0] or any("\x00" in word for word in self.argv):
            return ["argv: the program must be named, and no part may contain NUL"]
        return []

    def _env_problems(self) -> list[str]:
        wrong = [str(name) for name in self.env if not _NAME.fullmatch(str(name))]
        wrong += [name for name, value in self.env.items() if not isinstance(value, str) or "\x00" in value]
        return [f"env: {name!r} must be a plain name with a text as its value" for name in wrong[:1]]


def run_command(run: Run, params: Command) -> Result:
    """Run the program; exit code 0 (or one of `successCodes`) is the success.

    1. The environment is the allowed names of ours, the facts of the run, then `env`.
    2. Lines of output become lines of the run's log; 30,720 bytes of each stream are kept in `result`.
    3. A cancelled run and one whose time is over end with their whole process group.

    A program that does not exist fails for good. The keys of `result` are exitCode, stdout, stderr.
    """
    environment = make_environment(os.environ, run, params.env)
    try:
        program = find_program(params.argv[0], environment, params.cwd)
    except NotFound as error:
        raise PermanentError(str(error), totals=FAILED) from None
    if params.cwd is not None and not Path(params.cwd).is_dir():
        raise PermanentError(f"the directory {params.cwd} does not exist", totals=FAILED)
    say = Voice(run, _secrets(params.env))
    ended = run_program(
        [program, *params.argv[1:]],
        environment=environment,
        directory=params.cwd,
        stdin=params.stdin,
        limit=KEPT,
        deadline=run.deadline,
        should_stop=run.should_stop,
        say=say,
    )
    return judge(run, ended, success_codes=params.successCodes, secrets=say.secrets)


class Voice:
    """Writes a program's lines to the run's log; the ones that would not be kept cost nothing."""

    def __init__(self, run: Run, secrets: frozenset[str] = frozenset()) -> None:
        self._log = run.log
        self._left = MAX_LINES
        self.secrets = secrets

    def __call__(self, stream: str, line: str) -> None:
        if self._left <= 0:
            return
        self._left -= 1
        write = self._log.info if stream == "stdout" else self._log.warning
        write(redact(line, self.secrets), stream=stream)


def judge(
    run: Run, ended: Ended, *, success_codes: Collection[int] = (0,), secrets: frozenset[str] = frozenset()
) -> Result:
    """What the ending of a program means for the run that called it.

    Raises Stopped where the run was asked to stop, HandlerError for the end of its time and for any
    exit code that is no success; its message ends with what the program said last.
    """
    data = {
        "exitCode": ended.code,
        "stdout": _kept(ended.stdout, secrets),
        "stderr": _kept(ended.stderr, secrets),
    }
    if ended.stopped == "request":
        raise Stopped("the program was ended on request", totals=FAILED, data=data)
    if ended.stopped == "deadline":
        message = f"timeout of {run.job.timeout_ms}ms exceeded"
        raise HandlerError(message, reason="timeout", totals=FAILED, data=data)
    if ended.code in success_codes:
        return Result(total=1, success=1, data=data)
    last = redact((ended.stderr.tail or ended.stdout.tail).strip(), secrets)
    raise HandlerError(f"{ended.words}: {last}" if last else ended.words, totals=FAILED, data=data)


def _kept(stream: Stream, secrets: frozenset[str]) -> str:
    text = redact(stream.text, secrets)
    return clean_text(text + CUT if stream.truncated else text, limit=KEPT)[0]


def _secrets(env: Mapping[str, str]) -> frozenset[str]:
    """Values that must not show up in what the program says."""
    return frozenset(
        value for name, value in env.items() if is_secret(name) and len(value) >= SHORTEST_SECRET
    )


def make_environment(ours: Mapping[str, str], run: Run, given: Mapping[str, str]) -> dict[str, str]:
    """The environment of the program: allowed names of ours, the run's own facts, and what is given."""
    allowed = {
        name: value for name, value in ours.items() if name in ALLOWED or name.startswith(ALLOWED_PREFIX)
    }
    facts = {
        "EXECUTION_ID": str(run.id),
        "JOB_ID": str(run.job.id),
        "JOB_NAME": run.job.name,
        "SCHEDULED_AT": format_moment(run.scheduled_at),
        "ATTEMPT": str(run.attempt),
    }
    return {"PATH": os.defpath} | allowed | facts | dict(given)
