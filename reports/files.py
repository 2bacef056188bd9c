"""Opening and deleting report files: only what lies in EXPORT_DIRECTORY itself, never through a link."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO, cast

from django.conf import settings

from reports.models import ReportFile


def export_directory() -> Path:
    """Where reports are written and read."""
    return Path(cast("Path", settings.EXPORT_DIRECTORY))  # it has a default, so it is never None


def open_report(report: ReportFile) -> BinaryIO:
    """The report's file, open for reading. Raises FileNotFoundError when it is gone.

    The row's name is not trusted: one that is a path, a symbolic link or no regular file counts as
    gone, and nothing outside EXPORT_DIRECTORY is opened.
    """
    name = _plain_name(report)
    try:
        folder = os.open(export_directory(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # not blocking: a pipe of that name must not hold the reader up
            descriptor = os.open(
                name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder
            )
        finally:
            os.close(folder)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(f"the file of report {report.pk} is gone") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(f"the file of report {report.pk} is gone")
    return os.fdopen(descriptor, "rb")


def delete_report(report: ReportFile) -> None:
    """Delete the report's file. Raises FileNotFoundError when it is gone, or its name is no plain one."""
    (export_directory() / _plain_name(report)).unlink()


def _plain_name(report: ReportFile) -> str:
    name = report.name
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise FileNotFoundError(f"report {report.pk} has no file")
    return name
