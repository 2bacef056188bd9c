"""Rows to a CSV file: streamed, complete or not there at all, harmless in a spreadsheet."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import re
import secrets
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from jobs.contract import HandlerError
from reports.csv_text import line, stamp

_NAME = re.compile(r"\w[\w. -]{0,199}")
_LINES_AT_ONCE = 1000
_LEFTOVER_SECONDS = 24 * 60 * 60


class ExportError(HandlerError):
    """The file could not be written; the message names the place and the reason."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """A finished file. `rows` counts without the header; `sha256` is of the bytes as they lie there."""

    path: Path
    rows: int
    bytes: int
    sha256: str


def export_csv(
    rows: Iterable[Sequence[Any]],
    *,
    file_name: str,
    directory: Path,
    headers: Sequence[str],
    include_timestamp: bool = True,
    now: datetime | None = None,
    compress: bool = False,
) -> Path:
    """Write the rows under `headers` to `directory/file_name[_stamp].csv[.gz]` and answer the path.

    `now` (aware) is the stamp's moment and needed with `include_timestamp`. A stamped name is never
    used twice; a plain one replaces the file of that name. Raises ExportError when the file cannot
    be written, ValueError for a name that is a path and for rows that do not fit the header.
    """
    if include_timestamp and now is None:
        raise ValueError("a stamped file name needs `now`")
    with CsvFile(
        file_name, directory=directory, stamped_at=now if include_timestamp else None, compress=compress
    ) as file:
        file.write_header(headers)
        file.write_rows(rows)
    return file.written.path


class CsvFile:
    """One CSV file being written. Use as a context: left without an error it is there, else nothing is.

    1. A temporary file in the same directory takes the lines; length, rows and sha256 are counted
       on the way.
    2. It is flushed to the disk and gets its name in one step; a stamped name that is taken moves
       on to the next free millisecond.
    3. After any error the temporary file is removed. Those of killed processes go after a day.
    """

    written: Written

    def __init__(
        self, name: str, *, directory: Path, stamped_at: datetime | None, compress: bool = False
    ) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"not a file name: {name[:80]!r}")
        self._name = name
        self._directory = Path(directory)
        self._stamped_at = stamped_at
        self._suffix = ".csv.gz" if compress else ".csv"
        # 31: deflate within a gzip header and trailer; the header carries no time and no name
        self._gzip = zlib.compressobj(wbits=31) if compress else None
        self._columns: int | None = None
        self._rows = 0

    def __enter__(self) -> Self:
        with _readable(f"Cannot write to the export directory {self._directory}"):
            self._directory.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(self._directory)
            self._temporary = self._directory / f".{self._name}.{secrets.token_hex(8)}.part"
            descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._disk = _CountedFile(descriptor)
        return self

    def write_header(self, headers: Sequence[str]) -> None:
        """Write the first line; every row that follows must have as many cells."""
        self._columns = len(headers)
        self.write_block(line(headers).encode("utf-8", "replace"), rows=0)

    def write_rows(self, rows: Iterable[Sequence[Any]]) -> None:
        """Write rows of values, however many, a thousand lines at a time."""
        for number, lines in _grouped(self._lines(rows)):
            self.write_block("".join(lines).encode("utf-8", "replace"), rows=number)

    def write_block(self, block: bytes | bytearray, *, rows: int) -> None:
        """Write whole lines that are CSV already."""
        with _readable(f"Cannot write {self._name}{self._suffix} in {self._directory}"):
            self._disk.write(block if self._gzip is None else self._gzip.compress(block))
        self._rows += rows

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                with _readable(f"Cannot write {self._name}{self._suffix} in {self._directory}"):
                    self._finish()
        finally:
            self._disk.close()
            self._temporary.unlink(missing_ok=True)

    def _finish(self) -> None:
        if self._gzip is not None:
            self._disk.write(self._gzip.flush())
        self._disk.sync()
        path = self._publish()
        _sync_directory(self._directory)
        self.written = Written(
            path=path, rows=self._rows, bytes=self._disk.length, sha256=self._disk.digest.hexdigest()
        )

    def _publish(self) -> Path:
        if self._stamped_at is None:
            return self._temporary.replace(self._directory / f"{self._name}{self._suffix}")
        for late in itertools.count():
            moment = self._stamped_at + timedelta(milliseconds=late)
            path = self._directory / f"{self._name}_{stamp(moment)}{self._suffix}"
            if _rename_to_new(self._temporary, path):
                return path
        raise AssertionError("milliseconds do not end")

    def _lines(self, rows: Iterable[Sequence[Any]]) -> Iterator[str]:
        for number, row in enumerate(rows, start=1):
            if self._columns is not None and len(row) != self._columns:
                raise ValueError(f"row {number} has {len(row)} cells, the header has {self._columns}")
            yield line(row)


class _CountedFile:
    """A file that knows its length and its hash while it is written."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self.length = 0
        self.digest = hashlib.sha256()

    def write(self, block: bytes | bytearray) -> None:
        self.digest.update(block)
        self.length += len(block)
        rest = memoryview(block)
        while rest:
            rest = rest[self._file.write(rest) :]

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


@contextmanager
def _readable(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExportError(f"{doing}: {error.strerror or error}") from error


def _rename_to_new(source: Path, target: Path) -> bool:
    """Give a file its name unless the name is taken: False then."""
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS):
            raise
        # a file system without links: the look and the step are two there
        if target.exists():
            return False
        source.rename(target)
        return True
    source.unlink()
    return True


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_leftovers(directory: Path) -> None:
    """Remove what killed processes left: temporary files that nobody wrote to for a day.

    The age is the file system's own matter, so its clock is asked and not the database's.
    """
    for path in directory.glob(".*.part"):
        try:
            if time.time() - path.stat().st_mtime > _LEFTOVER_SECONDS:
                path.unlink()
        except FileNotFoundError:
            continue  # its owner has just finished


def _grouped(lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    while group := list(itertools.islice(lines, _LINES_AT_ONCE)):
        yield len(group), group
