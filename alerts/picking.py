"""Picks from the ledger what is worth telling, and writes it down as deliveries to be sent.

Endings are found by two cursors. `lead` follows the newest endings, so that an alert is on its way
within seconds. An ending is written with the time its transaction began with and may become
visible later than that; so `sweep` goes over everything once more, SETTLED behind. Both stand in
the transaction that writes the deliveries, and the unique key of a delivery is the truth: found
twice, by two processes or by both cursors, an ending is told once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.db.models import Max, Min

from alerts import ledger, rules
from alerts.audience import (
    CARES_FOR_LATE,
    CARES_FOR_LONG,
    CARES_FOR_MISSED,
    Audience,
    Listener,
    gather,
)
from alerts.models import Alert, Cursor, Delivery, DeliveryStatus
from alerts.rules import EPISODIC, Happening, Occurrence
from executions.engine import clock
from executions.rows import Rows, fetch, moment, read_uuid

log = logging.getLogger(__name__)

LEAD = "lead"
SWEEP = "sweep"
# Every transaction that ends an execution is over by then: statements are cut after 5 s, idle
# transactions after 10 s, and SQLite waits 20 s for the lock.
SETTLED = timedelta(seconds=60)
BATCH = 2000
CHUNK = 250
HEADS = 500
BUDGET = 0.5  # seconds of one step
# How old a cursor may become while nothing is found, before it is moved all the same.
IDLE = timedelta(seconds=5)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A happening and the alert that wants to tell it."""

    alert: Alert
    happening: Happening

    @property
    def group(self) -> tuple[UUID, int, str]:
        """The episodes it belongs to: of this alert, job and kind."""
        return (self.alert.id, self.happening.job_id, self.happening.event)


# Endings --------------------------------------------------------------------------------------------


def pick_endings(name: str, now: datetime) -> int:
    """Go on from the cursor `name` for as long as a step may; answers how many deliveries were written.

    Expects a transaction. Without any alert nothing is read: an alert hears only of what ended after
    it was made.
    """
    born = Alert.objects.filter(enabled=True).aggregate(first=Min("created_at"))["first"]
    if born is None:
        Cursor.objects.filter(name=name, moment__lt=now - SETTLED).update(moment=now, execution_id=None)
        return 0
    cursor = _open_cursor(name, born)
    until = now if name == LEAD else now - SETTLED
    ends_at = clock.monotonic() + BUDGET
    written, more = 0, cursor.moment <= until
    while more and clock.monotonic() < ends_at:
        window = ledger.find_window(cursor, until, size=BATCH)
        ended = ledger.ended_after(cursor, window)
        fresh, stopped_at = _tell_endings(ended, ends_at)
        written += fresh
        more = window < until and stopped_at is None
        _move(cursor, stopped_at, window, idle=not ended and not more)
    return written


def _open_cursor(name: str, born: datetime) -> Cursor:
    """The cursor's row, locked; it never stands before the birth of the oldest alert."""
    Cursor.objects.get_or_create(name=name, defaults={"moment": born})
    cursor: Cursor = Cursor.objects.select_for_update().get(name=name)
    if cursor.moment < born:
        cursor.moment, cursor.execution_id = born, None
    return cursor


def _move(cursor: Cursor, stopped_at: Occurrence | None, window: datetime, *, idle: bool) -> None:
    """To the end of what was looked at; while nothing happens, only now and then."""
    if idle and window - cursor.moment < IDLE:
        return
    cursor.moment, cursor.execution_id = window, None
    if stopped_at is not None:
        assert stopped_at.completed_at is not None
        cursor.moment, cursor.execution_id = stopped_at.completed_at, stopped_at.id
    cursor.save(update_fields=["moment", "execution_id"])


def _tell_endings(ended: list[ledger.Ended], ends_at: float) -> tuple[int, Occurrence | None]:
    """Write down what is new of these endings; where the time was over, the last one judged comes back."""
    audience = gather({one.job_id for one in ended})
    heard = [one.id for one in ended if audience.cares_for(one.job_id, one.status)]
    written = 0
    for start in range(0, len(heard), CHUNK):
        endings = ledger.read_endings(heard[start : start + CHUNK])
        candidates = (finding for ending in endings for finding in _candidates(ending, audience))
        written += write(_leave_out_told(candidates))
        if clock.monotonic() > ends_at and start + CHUNK < len(heard):
            return written, endings[-1].occurrence
    return written, None


def _candidates(ending: ledger.Ending, audience: Audience) -> Iterable[Finding]:
    occurrence = ending.occurrence
    job = audience.jobs.get(occurrence.job_id)
    if job is None or occurrence.completed_at is None:
        return
    for listener in audience.listeners[job.id]:
        if listener.alert.created_at > occurrence.completed_at:
            continue
        happenings = rules.judge_ending(
            listener.conditions,
            job,
            occurrence,
            failures_before=partial(ledger.count_failures_before, ending),
        )
        for happening in happenings:
            yield Finding(alert=listener.alert, happening=happening)


# What has not ended ---------------------------------------------------------------------------------


def pick_unfinished(now: datetime) -> int:
    """Tell of what is late, runs long or was never planned; answers how many deliveries were written."""
    if not Alert.objects.filter(CARES_FOR_LATE | CARES_FOR_LONG | CARES_FOR_MISSED, enabled=True).exists():
        return 0
    waiting = ledger.waiting_longest(now, limit=HEADS)
    running = ledger.running(limit=HEADS)
    unplanned = ledger.unplanned(now, limit=HEADS)
    occurrences = [*waiting, *running]
    audience = gather({one.job_id for one in occurrences} | {one.job_id for one in unplanned})
    found = []
    for one in occurrences:
        for listener in audience.listeners.get(one.job_id, []):
            job = audience.jobs[one.job_id]
            found += _found(listener, rules.judge_start(listener.conditions, job, one, now=now))
            found += _found(listener, rules.judge_duration(listener.conditions, job, one, now=now))
    for owed in unplanned:
        for listener in audience.listeners.get(owed.job_id, []):
            happening = rules.judge_unplanned(
                listener.conditions,
                audience.jobs[owed.job_id],
                fire_time=owed.fire_time,
                problem=owed.problem,
                now=now,
            )
            found += _found(listener, happening)
    return write(_leave_out_told(found))


def _found(listener: Listener, happening: Happening | None) -> list[Finding]:
    return [] if happening is None else [Finding(alert=listener.alert, happening=happening)]


def _leave_out_told(findings: Iterable[Finding]) -> list[Finding]:
    """Those whose episode was not told yet, one of each episode, in their order."""
    candidates = list(findings)
    episodes = Episodes()
    episodes.read(candidates)
    fresh = [finding for finding in candidates if not episodes.is_told(finding)]
    episodes.save()
    return fresh


# Episodes -------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Told:
    """One delivery as far as episodes go: `open_until` is how long its trouble is known to go on."""

    id: UUID | None
    moment: datetime
    open_until: datetime


@dataclass(kw_only=True)
class Episodes:
    """What was told already of the groups that a step looks at, read in two queries."""

    told: dict[tuple[UUID, int, str], list[Told]] = field(default_factory=dict)
    ids: set[tuple[UUID, str, UUID]] = field(default_factory=set)
    prolonged: dict[UUID, datetime] = field(default_factory=dict)

    def read(self, findings: Iterable[Finding]) -> None:
        """Look up the deliveries nearest to these findings: the last one before all, and all later."""
        episodic = [one for one in findings if one.happening.event in EPISODIC]
        if not episodic:
            return
        of_groups = Delivery.objects.filter(
            alert_id__in={one.alert.id for one in episodic},
            job_id__in={one.happening.job_id for one in episodic},
            event__in={one.happening.event for one in episodic},
        )
        first = min(one.happening.moment for one in episodic)
        before = of_groups.filter(happened_at__lt=first)
        lasts = {
            (group["alert_id"], group["job_id"], group["event"]): group["last"]
            for group in before.values("alert_id", "job_id", "event").annotate(last=Max("happened_at"))
        }
        known = of_groups.filter(happened_at__in=set(lasts.values())) if lasts else of_groups.none()
        self._remember(
            row for row in known if lasts.get((row.alert_id, row.job_id, row.event)) == row.happened_at
        )
        self._remember(of_groups.filter(happened_at__gte=first))

    def _remember(self, rows: Iterable[Any]) -> None:
        for row in rows:
            self.told.setdefault((row.alert_id, row.job_id, row.event), []).append(
                Told(id=row.id, moment=row.happened_at, open_until=row.open_until or row.happened_at)
            )
            self.ids.add((row.alert_id, row.event, row.execution_id))

    def is_told(self, finding: Finding) -> bool:
        """Whether this needs no delivery; one that does counts as told from now on."""
        happening = finding.happening
        if happening.event not in EPISODIC:
            return False
        if (finding.alert.id, happening.event, happening.execution_id) in self.ids:
            return True
        if self._goes_on(finding):
            return True
        self.told.setdefault(finding.group, []).append(
            Told(id=None, moment=happening.moment, open_until=happening.moment)
        )
        return False

    def _goes_on(self, finding: Finding) -> bool:
        happening, told = finding.happening, self.told.get(finding.group, [])
        known = {one.moment: one for one in told}

        def closed_between(low: datetime, high: datetime) -> bool:
            earlier = known.get(low)
            if earlier is None:
                return ledger.closed_between(happening, low, high)
            # Behind `open_until` only what settled since has to be looked at.
            start = max(low, min(earlier.open_until, high) - SETTLED)
            closed = ledger.closed_between(happening, start, high)
            if not closed:
                self._prolong(earlier, high)
            return closed

        return rules.is_told(happening.moment, known, closed_between=closed_between)

    def _prolong(self, told: Told, until: datetime) -> None:
        if until > told.open_until:
            told.open_until = until
            if told.id is not None:
                self.prolonged[told.id] = until

    def save(self) -> None:
        """Keep how long the told episodes are known to go on; losing it costs a longer look only."""
        for key, until in self.prolonged.items():
            Delivery.objects.filter(id=key).update(open_until=until)


# Writing down ---------------------------------------------------------------------------------------


def write(findings: list[Finding]) -> int:
    """Write deliveries that are due at once; those that exist already stay as they are."""
    if not findings:
        return 0
    rows = Rows(
        "v",
        {
            "id": "uuid",
            "alert_id": "uuid",
            "execution_id": "uuid",
            "job_id": "bigint",
            "event": "text",
            "happened_at": "timestamptz",
            "details": "jsonb",
        },
        (
            (
                uuid4(),
                one.alert.id,
                one.happening.execution_id,
                one.happening.job_id,
                one.happening.event,
                one.happening.moment,
                dict(one.happening.details or {}),
            )
            for one in findings
        ),
    )
    now = moment(clock.now())
    written = fetch(
        f"""
        INSERT INTO alert_deliveries (id, alert_id, execution_id, job_id, event, happened_at,
            open_until, details, status, tries, next_try_at, created_at)
        SELECT v.id, v.alert_id, v.execution_id, v.job_id, v.event, v.happened_at,
            v.happened_at, v.details, %s, 0, %s, %s
        FROM {rows.sql} WHERE true
        ON CONFLICT (alert_id, event, execution_id) DO NOTHING
        RETURNING id
        """,
        [DeliveryStatus.PENDING.value, now, now, *rows.params],
    )
    for (key,) in written:
        log.info("alert picked", extra={"delivery": str(read_uuid(key))})
    return len(written)
