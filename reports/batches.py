"""Many rows in chunks: checkpoint, isolation of failing items, skip limit, progress, clean stop.

`run_batch` is for every handler that has rows to work off; `docs/writing-a-batch.md` shows one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from django.db import InterfaceError, InternalError, OperationalError, connections, router, transaction
from django.db.models import Model, QuerySet

from jobs.contract import HandlerError, Progress, Result, Run, Stopped

Row = TypeVar("Row", bound=Model)

CHUNK_ROWS = 1000
# A chunk with slow items ends early: its locks, and what a crash may cost, stay small.
CHUNK_SECONDS = 1.0
# A waiting writer of SQLite looks for the lock every tenth of a second: so long it stays free then.
GIVE_WAY_SECONDS = 0.12
MESSAGES_KEPT = 100

# Errors of the database or of the run: no single item is to blame for them.
_NOT_OF_AN_ITEM = (OperationalError, InterfaceError, InternalError, MemoryError, HandlerError)
# Serialization failure, deadlock, lock timeout: the same chunk may well pass the next time.
_CLASHES = ("40001", "40P01", "55P03")
_TRIES = 3


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What a sweep did: how many rows, and the key of the last one (None when there were none)."""

    count: int
    last: Any


def run_batch(
    run: Run,
    rows: QuerySet[Row],
    *,
    write: Callable[[Sequence[Row]], object],
    process: Callable[[Row], object] | None = None,
    sweep: Callable[[Any, int], Swept] | None = None,
    chunk_rows: int = CHUNK_ROWS,
    skip_limit: int | None = None,
) -> Result:
    """Work off `rows` in the order of their primary key and answer the totals.

    1. The next `chunk_rows` rows after the last key are read and locked. What another run holds is
       left to that run, and looked at once more at the end.
    2. `process` is called for each row, where given: it may raise to refuse the row, and change it
       in memory (a chunk that is rolled back and tried again calls it again). `write` gets those
       that passed, and must take them out of `rows` for good.
    3. When `write` raises, the chunk is written again row by row, and only the row that raises fails.
    4. The totals are written (`run.checkpoint`) and the chunk is committed with them: a crash costs
       this one chunk, and a worker that lost its claim rolls back.

    A row that fails is counted, stays as it was and is not read again in this run; the first 100
    messages are the reason. At the `skip_limit`-th failure the run ends. Raises Stopped, with the
    totals, between two chunks when the run is asked to stop. Because written rows leave the
    queryset, a second attempt finds what is left, whatever ended the first.

    `sweep(after, limit)`, where given, does steps 1 and 2 for a whole chunk in one statement: the
    `limit` rows after the key (None: from the start) that nobody holds. A chunk that it cannot do
    falls back to `write`.
    """
    if skip_limit is not None and skip_limit < 1:
        raise ValueError("skip_limit must be at least 1")
    batch = _Batch(
        run=run,
        rows=rows.using(router.db_for_write(rows.model)).order_by("pk"),
        write=write,
        process=process,
        sweep=sweep,
        chunk_rows=chunk_rows,
        skip_limit=skip_limit,
    )
    return batch.work_off()


@dataclass(kw_only=True)
class _Chunk:
    """What one transaction did; worth nothing until it is committed."""

    read: int = 0
    last: Any = None
    success: int = 0
    failed: list[tuple[Any, str]] = field(default_factory=list)
    # Ended before its last row: there is more, however few rows it read.
    cut: bool = False


@dataclass(kw_only=True)
class _Batch(Generic[Row]):
    run: Run
    rows: QuerySet[Row]
    write: Callable[[Sequence[Row]], object]
    process: Callable[[Row], object] | None
    sweep: Callable[[Any, int], Swept] | None
    chunk_rows: int
    skip_limit: int | None

    total: int = 0
    success: int = 0
    failed: set[Any] = field(default_factory=set)
    messages: list[str] = field(default_factory=list)
    locking_since: float = field(default_factory=time.monotonic)

    def work_off(self) -> Result:
        self.total = self.rows.count()
        self._report()
        self._pass(waiting=False)
        # Fewer than were counted: another run held some. It may have died since, so wait and look.
        if self._can_share and self.success + len(self.failed) < self.total and not self._is_over():
            self._pass(waiting=True)
        if self._is_over():
            self.run.log.warning("ended at the skip limit", failures=len(self.failed))
        done = self._progress()
        return Result(
            total=done.processed,
            success=done.success,
            failure=done.failure,
            reason="\n".join(self.messages),
        )

    def _pass(self, *, waiting: bool) -> None:
        after: Any = None
        while not self._is_over():
            self._check_stop()
            chunk = self._try_chunk(after, waiting=waiting)
            self._take_over(chunk)
            if chunk.read < self.chunk_rows and not chunk.cut:
                return
            after = chunk.last
            self._give_way()

    def _give_way(self) -> None:
        """Where there is one writer at a time, let the others in once a second.

        Chunk follows chunk at once, so a writer that polls for the lock would hardly ever find it free.
        """
        if not self._can_share and time.monotonic() - self.locking_since >= CHUNK_SECONDS:
            self.run.stop.wait(GIVE_WAY_SECONDS)
            self.locking_since = time.monotonic()

    def _try_chunk(self, after: Any, *, waiting: bool) -> _Chunk:
        for _ in range(_TRIES - 1):
            try:
                return self._do_chunk(after, waiting=waiting)
            except OperationalError as error:
                if getattr(error.__cause__, "sqlstate", None) not in _CLASHES:
                    raise
        return self._do_chunk(after, waiting=waiting)

    def _do_chunk(self, after: Any, *, waiting: bool) -> _Chunk:
        with transaction.atomic(using=self.rows.db, durable=True):
            chunk = None if waiting else self._swept(after)
            if chunk is None:
                chunk = self._worked(after, waiting=waiting)
            if chunk.success or chunk.failed:
                # last, because it locks the execution's row until the commit
                self.run.checkpoint(self._progress(chunk))
        return chunk

    def _swept(self, after: Any) -> _Chunk | None:
        """The chunk in one statement; None when there is no such statement or it failed."""
        if self.sweep is None:
            return None
        try:
            with transaction.atomic(using=self.rows.db):
                swept = self.sweep(after, self.chunk_rows)
        except _NOT_OF_AN_ITEM:
            raise
        except Exception:  # noqa: BLE001 - whatever one row raises, it is found row by row
            return None
        return _Chunk(read=swept.count, last=swept.last, success=swept.count)

    def _worked(self, after: Any, *, waiting: bool) -> _Chunk:
        rows = self._lock(after, waiting=waiting)
        chunk = _Chunk(read=len(rows), last=rows[-1].pk if rows else None)
        passed = self._processed([row for row in rows if row.pk not in self.failed], chunk)
        if not passed:
            return chunk
        try:
            with transaction.atomic(using=self.rows.db):
                self.write(passed)
        except _NOT_OF_AN_ITEM:
            raise
        except Exception:  # noqa: BLE001 - whatever one row raises, it is found row by row
            self._write_each(passed, chunk)
        else:
            chunk.success = len(passed)
        return chunk

    def _lock(self, after: Any, *, waiting: bool) -> list[Row]:
        rows = self.rows if after is None else self.rows.filter(pk__gt=after)
        if self._can_share:
            rows = rows.select_for_update(skip_locked=not waiting, of=("self",))
        return list(rows[: self.chunk_rows])

    def _processed(self, rows: list[Row], chunk: _Chunk) -> list[Row]:
        """The rows that `process` lets pass; ends early for a stop, the skip limit or slow rows."""
        if self.process is None:
            return rows
        passed = []
        end = time.monotonic() + CHUNK_SECONDS
        for row in rows:
            try:
                self.process(row)
            except _NOT_OF_AN_ITEM:
                raise
            except Exception as error:  # noqa: BLE001 - an item's error is the item's, whatever it is
                chunk.failed.append(self._failure(row, error))
            else:
                passed.append(row)
            if self._is_over(chunk) or self.run.should_stop() or time.monotonic() > end:
                chunk.last, chunk.cut = row.pk, True
                break
        return passed

    def _write_each(self, rows: list[Row], chunk: _Chunk) -> None:
        for row in rows:
            if self._is_over(chunk):
                return
            try:
                with transaction.atomic(using=self.rows.db):
                    self.write([row])
            except _NOT_OF_AN_ITEM:
                raise
            except Exception as error:  # noqa: BLE001 - an item's error is the item's, whatever it is
                chunk.failed.append(self._failure(row, error))
            else:
                chunk.success += 1

    def _failure(self, row: Row, error: Exception) -> tuple[Any, str]:
        """The row's key and a message that names it."""
        message = str(error).strip() or type(error).__name__
        if str(row.pk) not in message:
            message = f"{row._meta.verbose_name} {row.pk}: {message}"
        return row.pk, message

    def _take_over(self, chunk: _Chunk) -> None:
        """Count a chunk that is committed."""
        self.success += chunk.success
        self.failed.update(key for key, _ in chunk.failed)
        room = MESSAGES_KEPT - len(self.messages)
        self.messages += [message for _, message in chunk.failed[:room]]
        self._report()

    def _progress(self, chunk: _Chunk | None = None) -> Progress:
        """The execution's totals, with those of a chunk that is not committed yet.

        What earlier attempts completed stays completed; what failed in them is tried again, so only
        the failures of this attempt count.
        """
        earlier = self.run.committed.success
        success = earlier + self.success + (chunk.success if chunk else 0)
        failure = len(self.failed) + (len(chunk.failed) if chunk else 0)
        processed = success + failure
        return Progress(
            processed=processed, total=max(earlier + self.total, processed), success=success, failure=failure
        )

    def _report(self) -> None:
        now = self._progress()
        self.run.progress(now.processed, now.total, success=now.success, failure=now.failure)

    def _check_stop(self) -> None:
        if self.run.should_stop():
            done = self._progress()
            raise Stopped("stopped on request", totals=(done.processed, done.success, done.failure))

    def _is_over(self, chunk: _Chunk | None = None) -> bool:
        failures = len(self.failed) + (len(chunk.failed) if chunk else 0)
        return self.skip_limit is not None and failures >= self.skip_limit

    @property
    def _can_share(self) -> bool:
        """Whether rows can be locked one by one; SQLite has one writer at a time instead."""
        return connections[self.rows.db].features.has_select_for_update_skip_locked
