"""The handler `management-command`: one of the Django commands that were allowed for it by name.

The list is code, not data: a command gets into it when an installed app's `handlers.py` calls
`allow_command`, so that nobody who can only edit jobs can widen it.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from executions.processes import run_program
from executions.shell import KEPT, MAX_ARGUMENTS, Voice, judge
from jobs.contract import PermanentError, Result, Run

_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
# With these a harmless command would import any module of any directory.
_STEERING = ("--settings", "--pythonpath")
# Bounded, harmless when run twice, and without a question to anybody.
_allowed: set[str] = {"clearsessions", "prune", "verify_ledger"}


def allow_command(name: str) -> None:
    """Let jobs run this Django command; call it in an installed app's `handlers.py`."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a Django command")
    _allowed.add(name)


def forbid_command(name: str) -> None:
    """Take a command off the list again."""
    _allowed.discard(name)


def allowed_commands() -> list[str]:
    """The commands that jobs may run, sorted."""
    return sorted(_allowed)


@dataclass(frozen=True)
class ManagementCommand:
    """The parameters of `management-command`."""

    command: str
    args: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.command not in _allowed:
            raise ValueError(f"command: must be one of {', '.join(allowed_commands())}")
        if len(self.args) > MAX_ARGUMENTS:
            raise ValueError(f"args: must have at most {MAX_ARGUMENTS} parts")
        for word in self.args:
            if not isinstance(word, str) or "\x00" in word:
                raise ValueError("args: must be a list of texts")
            if _is_steering(word):
                raise ValueError(f"args: {word.partition('=')[0]} is not for jobs to set")


def _is_steering(word: str) -> bool:
    """Whether the word is one of these options, or an abbreviation of one."""
    name = word.partition("=")[0]
    return len(name) > 2 and any(option.startswith(name) for option in _STEERING)


def run_management_command(run: Run, params: ManagementCommand) -> Result:
    """Run the command in a process of its own, with our settings; exit code 0 is the success.

    Its output is kept as that of `command`; a cancelled run and one whose time is over end with it.
    Raises PermanentError where the command left the list since the job was saved.
    """
    if params.command not in _allowed:
        raise PermanentError(f"{params.command} is not a command that jobs may run", totals=(1, 0, 1))
    say = Voice(run)
    ended = run_program(
        [sys.executable, "-m", "django", params.command, *params.args],
        environment=os.environ,
        directory=str(settings.BASE_DIR),
        limit=KEPT,
        deadline=run.deadline,
        should_stop=run.should_stop,
        say=say,
    )
    return judge(run, ended)
