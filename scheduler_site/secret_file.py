"""The secrets of a development checkout: made once, kept in `.secrets.env`, shared by web and scheduler."""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path

from scheduler_site.environment import read_file

NAMES = ("SECRET_KEY", "JWT_SECRET")


def development_secrets(path: Path) -> dict[str, str]:
    """The secrets kept at `path`; what the file lacks is made and written first.

    Safe when several processes start together: one of them makes the secrets under a lock of the folder,
    the others read them. Raises OSError when the folder cannot be written.
    """
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        known = read_file(path)
        missing = [name for name in NAMES if not known.get(name)]
        if missing:
            known |= {name: secrets.token_urlsafe(48) for name in missing}
            _write(path, known)
        return known
    finally:
        os.close(folder)


def _write(path: Path, values: dict[str, str]) -> None:
    draft = path.with_name(path.name + ".draft")
    draft.unlink(missing_ok=True)  # of a process that was killed
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write("# Made for development. Delete this file to get new secrets.\n")
        file.writelines(f"{name}={value}\n" for name, value in values.items())
    draft.replace(path)
