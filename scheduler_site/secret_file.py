"""The secrets of a development checkout: made once, kept in `.secrets.env`, shared by web and scheduler."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from scheduler_site.environment import read_file

NAMES = ("SECRET_KEY", "JWT_SECRET")


def development_secrets(path: Path) -> dict[str, str]:
    """The secrets kept at `path`, made first when the file is missing.

    Safe when several processes start together: each writes a draft of its own, one draft becomes the
    file, and all read that one. Raises OSError when the folder cannot be written.
    """
    known = read_file(path)
    if all(known.get(name) for name in NAMES):
        return known
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    made = {name: secrets.token_urlsafe(48) for name in NAMES} | {k: v for k, v in known.items() if v}
    try:
        _write(draft, made)
        _publish(draft, path, over_existing=path.exists())
    finally:
        draft.unlink(missing_ok=True)
    return read_file(path)


def _write(path: Path, values: dict[str, str]) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write("# Made for development. Delete this file to get new secrets.\n")
        file.writelines(f"{name}={value}\n" for name, value in values.items())


def _publish(draft: Path, path: Path, *, over_existing: bool) -> None:
    if over_existing:  # a file that lacks a secret: somebody cut it
        draft.replace(path)
        return
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was first, its secrets count
