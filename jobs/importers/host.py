"""What an importer asks of the host: who we are, and where users are at home."""

from __future__ import annotations

import getpass
import os
import pwd
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Host:
    """`user` is our own name, empty where we have none; `find_home` answers None for an unknown user."""

    user: str
    find_home: Callable[[str], str | None]


def this_host() -> Host:
    """The host that we run on."""
    return Host(user=_own_name(), find_home=_find_home)


def _own_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""  # a container may run under a number that has no name


def _find_home(user: str) -> str | None:
    if not user:
        return os.environ.get("HOME")
    try:
        return pwd.getpwnam(user).pw_dir
    except KeyError:
        return None


def is_directory(path: str) -> bool:
    """Whether it is a directory that we can see."""
    try:
        return Path(path).is_dir()
    except OSError:
        return False
