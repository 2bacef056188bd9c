"""The log files of one day each, shared by all processes of the host without losing or tearing a line.

The day is part of the name, so nothing is ever renamed: a process that still writes yesterday's last line
does not meet one that begins today. Each line is one write() to a file opened with O_APPEND, which the
system keeps whole between processes.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from web import logcontext

SILENCE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Series:
    """One family of files, `<name>-YYYY-MM-DD.log`, and the records that belong into it."""

    name: str
    keep_days: int
    accepts: Callable[[logging.LogRecord], bool]


def _is_about_an_execution(record: logging.LogRecord) -> bool:
    return "executionId" in logcontext.current() or hasattr(record, "execution_id")


def _is_from_the_scheduler(record: logging.LogRecord) -> bool:
    return record.name.startswith(("executions.engine", "executions.duties", "executions.management"))


SERIES: tuple[Series, ...] = (
    Series(name="all", keep_days=14, accepts=lambda record: True),
    Series(name="error", keep_days=30, accepts=lambda record: record.levelno >= logging.ERROR),
    Series(name="combined", keep_days=14, accepts=lambda record: record.levelno >= logging.INFO),
    Series(name="executions", keep_days=14, accepts=_is_about_an_execution),
    Series(name="scheduler", keep_days=14, accepts=_is_from_the_scheduler),
)


@dataclass
class _Open:
    """A file that is open for one day."""

    day: date
    handle: int
    torn: bool = field(default=False)


class DatedFiles(logging.Handler):
    """Writes each record to every series that accepts it; formats it once."""

    def __init__(self, directory: Path, series: Sequence[Series] = SERIES) -> None:
        super().__init__()
        self._directory = directory
        self._series = series
        self._files: dict[str, _Open] = {}
        self._complained_at = -SILENCE_SECONDS

    def emit(self, record: logging.LogRecord) -> None:
        """Append the record's line. A disk that refuses it is told to stderr, at most once a minute."""
        try:
            line = (self.format(record).replace("\n", " ") + "\n").encode("utf-8", "backslashreplace")
        except Exception:  # noqa: BLE001 - a record that cannot be formatted must not end its caller
            self.handleError(record)
            return
        day = datetime.fromtimestamp(record.created, UTC).date()
        for series in self._series:
            if series.accepts(record):
                self._append(series, day, line)

    def close(self) -> None:
        """Close the files."""
        self.acquire()
        try:
            for opened in self._files.values():
                os.close(opened.handle)
            self._files.clear()
        finally:
            self.release()
        super().close()

    def _append(self, series: Series, day: date, line: bytes) -> None:
        try:
            opened = self._open(series, day)
            text = b"\n" + line if opened.torn else line
            opened.torn = os.write(opened.handle, text) < len(text)  # only a full disk cuts a write
        except OSError as error:
            self._complain(error)

    def _open(self, series: Series, day: date) -> _Open:
        opened = self._files.get(series.name)
        if opened is not None:
            if opened.day == day and os.fstat(opened.handle).st_nlink:
                return opened
            os.close(opened.handle)  # another day, or somebody deleted the file
            del self._files[series.name]
        path = self._directory / f"{series.name}-{day.isoformat()}.log"
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._files[series.name] = _Open(day=day, handle=handle)
        remove_old(self._directory, series, today=day)
        return self._files[series.name]

    def _complain(self, error: OSError) -> None:
        if time.monotonic() - self._complained_at >= SILENCE_SECONDS:
            self._complained_at = time.monotonic()
            sys.stderr.write(f"Cannot write log files in {self._directory}: {error.strerror}\n")


def remove_old(directory: Path, series: Series, *, today: date) -> None:
    """Delete the files of the series that are older than it keeps them; another process may be faster."""
    oldest = today - timedelta(days=series.keep_days)
    for path in directory.glob(f"{series.name}-*.log"):
        match = re.fullmatch(rf"{re.escape(series.name)}-(\d{{4}}-\d\d-\d\d)\.log", path.name)
        if match and match[1] < oldest.isoformat():
            try:
                path.unlink()
            except OSError:
                continue  # gone already, or not ours to delete
