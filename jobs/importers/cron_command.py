"""The command of a crontab's line: its program and arguments, what it reads, and what to call it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import PurePath

# What makes a line a matter for a shell; without any of it the words are the program's own.
_SHELL = re.compile(r"[|&;<>()$`*?\[\]#~=!{}\n\\\"'^]")
_BUILT_IN = frozenset(
    {"cd", ".", "source", "exec", "export", "test", "umask", "ulimit", "if", "for", "while", "set", ":"}
)


def split_percent(command: str) -> tuple[str, str | None]:
    r"""A command and what cron gives it to read: after the first `%`, where further ones end lines.

    >>> split_percent("mail -s hi bob%Dear Bob,%bye")
    ('mail -s hi bob', 'Dear Bob,\nbye\n')
    >>> split_percent(r"date +\%F")
    ('date +%F', None)
    """
    parts = [part.replace("\\%", "%") for part in re.split(r"(?<!\\)%", command)]
    if len(parts) == 1:
        return parts[0], None
    return parts[0].rstrip(), "\n".join(parts[1:]) + "\n"


def to_argv(command: str, shell: str) -> list[str]:
    """The words of a plain command; everything else goes to the crontab's own shell, as cron does it.

    >>> to_argv("/usr/bin/backup --full /srv", "/bin/sh")
    ['/usr/bin/backup', '--full', '/srv']
    >>> to_argv("cd /srv && ./run", "/bin/bash")
    ['/bin/bash', '-c', 'cd /srv && ./run']
    """
    words = command.split()
    if not words or _SHELL.search(command) or words[0] in _BUILT_IN:
        return [shell, "-c", command]
    return words


def name_program(command: str) -> str:
    """The program's own name: of `cd /srv && ./run.sh -q` that is run.sh."""
    try:
        words = shlex.split(split_percent(command)[0], comments=True)
    except ValueError:
        words = command.split()
    return next(_programs(words), "command")[:100]


def _programs(words: list[str]) -> Iterator[str]:
    skipped = {"sudo", "nice", "ionice", "env", "exec", "time", "nohup", "flock", "timeout", "test", "["}
    fresh = True
    for word in words:
        if word in ("&&", "||", ";", "|"):
            fresh = True
        elif fresh and not word.startswith(("-", "(")) and "=" not in word and not word.isdecimal():
            if word in ("cd", "test", "["):
                fresh = False
            elif word not in skipped:
                yield PurePath(word).name or word
                fresh = False
