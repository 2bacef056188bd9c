"""Manners towards a host: how many calls at once, and how fast to come back after failures.

Everything here is a plain state machine with `now` handed in (seconds on the monotonic
clock); only `HostGate` waits.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from .errors import HostBusy
from .watch import Watch

Host = tuple[str, int]

MAX_RETRY_AFTER = timedelta(hours=1)
# How long a call waits in its slot for its turn. A full host gets the slot back soon: two
# hundred slots that queue for one slow host would hold up every other job.
GATE_PATIENCE_SECONDS = 0.5
GATE_RETURN_SECONDS = 1.0
GATE_LONGEST_SECONDS = 60.0

FAILURES_TO_OPEN = 5
SUCCESSES_TO_CLOSE = 3
# Retries that a failing host may get at once before they are spread, and their slowest pace.
BURST = 10.0
SLOWEST_RATE = 0.2
# Of the rate of first attempts, so that both together stay below twice of it in every stretch.
RETRY_SHARE = 0.8
_RATE_WINDOW = 60.0
# In so many seconds without first attempts half of what a host is used to is forgotten.
_HALF_LIFE = 1800.0
_MAX_HOSTS = 4096


def read_retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """How long the target asks us to stay away (seconds or an HTTP date), at most an hour.

    None when there is no Retry-After, or none that can be read. `now` is aware.
    """
    text = next((v for k, v in headers.items() if k.lower() == "retry-after"), "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=int(text[:9])), MAX_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(moment - now, timedelta()), MAX_RETRY_AFTER)


class HostGate:
    """At most `limit` calls of this process to one host and port at once; 0 = no limit.

    A call waits half a second for its turn, as part of its deadline; then it raises HostBusy,
    which is no failure of the target: whoever runs it should give the slot back and come
    again after `retry_delay` without counting an attempt. Those sent away are told to come
    back one after another at the pace at which places become free, within a minute; else a
    thousand of them would ask again every second.
    """

    def __init__(self, limit: int = 0, *, patience: float = GATE_PATIENCE_SECONDS) -> None:
        self._limit = limit
        self._patience = patience
        self._inside: Counter[Host] = Counter()
        self._left = threading.Condition()
        #: Of hosts with calls inside: how long a place is held, and when the next one may return.
        self._held: dict[Host, float] = {}
        self._return_at: dict[Host, float] = {}

    def enter(self, host: Host, watch: Watch) -> None:
        """Take a place. Raises HostBusy, or CallTimeout and CallStopped from the watch."""
        if not self._limit:
            return
        until = watch.elapsed() + self._patience
        with self._left:
            while self._inside[host] >= self._limit:
                patience = until - watch.elapsed()
                if patience <= 0:
                    raise self._refuse(host, watch.started + watch.elapsed())
                self._left.wait(min(patience, watch.step()))
            self._inside[host] += 1

    def leave(self, host: Host, *, held: float) -> None:
        """Give the place back; it was held for so many seconds."""
        if not self._limit:
            return
        with self._left:
            self._inside[host] -= 1
            self._held[host] = 0.8 * self._held.get(host, held) + 0.2 * held
            if not self._inside[host]:
                for known in (self._inside, self._held, self._return_at):
                    known.pop(host, None)
            self._left.notify_all()

    def _refuse(self, host: Host, now: float) -> HostBusy:
        error = HostBusy(
            f"{host[0]} port {host[1]} has {self._limit} calls of this process already (HTTP_MAX_PER_HOST)"
        )
        at = max(self._return_at.get(host, 0.0), now + GATE_RETURN_SECONDS)
        self._return_at[host] = at + self._held.get(host, GATE_RETURN_SECONDS) / self._limit
        delay = _fold(at - now, GATE_RETURN_SECONDS, GATE_LONGEST_SECONDS)
        error.retry_delay = timedelta(seconds=delay)
        return error


@dataclass(kw_only=True)
class HostHealth:
    """The breaker of one host. It never refuses a call; it says how long a retry must wait.

    closed     fewer than 5 failures in a row: retries keep their own backoff.
    open       retries are given out at four fifths of the rate of the host's first attempts (in
               its busiest minute, forgotten by half in half an hour; at least one in 5 s), after
               a burst of 10. First attempts go on and are the probes. So calls stay below twice
               the steady rate, also when the host comes back and everything that waited is due.
               Those that the host asked to come at one moment (Retry-After) queue up behind it
               the same way.
    half open  the first success after that: pacing goes on until the third in a row closes the
               breaker, and one failure opens it again at once.
    """

    failures: int = 0
    successes: int = SUCCESSES_TO_CLOSE
    #: When the next retry may start; retries queue up behind it.
    next_retry_at: float = 0.0
    #: The same for those that were asked to stay away for longer; they do not hold up the others.
    next_asked_at: float = 0.0
    window_started_at: float = 0.0
    firsts: int = 0
    #: First attempts in the busiest minute before this one, as far as it is remembered.
    usual: float = 0.0
    last_used_at: float = 0.0

    @property
    def is_closed(self) -> bool:
        """Whether the host is well enough for retries to come when they like."""
        return self.successes >= SUCCESSES_TO_CLOSE

    def count_call(self, now: float, *, first: bool) -> None:
        """Count a call that starts; only first attempts make the steady rate."""
        self.last_used_at = now
        passed = now - self.window_started_at
        if passed >= _RATE_WINDOW:
            self.usual = max(self.firsts, self.usual) * 0.5 ** (passed / _HALF_LIFE)
            self.firsts = 0
            self.window_started_at = now
        self.firsts += first

    def rate(self) -> float:
        """Retries per second that it can bear besides its first attempts, never below 0.2."""
        return max(max(self.firsts, self.usual) / _RATE_WINDOW * RETRY_SHARE, SLOWEST_RATE)

    def note_success(self) -> None:
        """The host answered well."""
        self.failures = 0
        self.successes = min(self.successes + 1, SUCCESSES_TO_CLOSE)

    def note_failure(self, now: float, *, asked: float = 0.0) -> float:
        """The host failed; answers the seconds that a retry must wait at least (0: its own).

        `asked` is how long the host itself wants to be left alone, at most an hour.
        """
        self.failures += 1
        if self.is_closed and self.failures < FAILURES_TO_OPEN:
            return asked
        self.successes = 0
        step = 1 / self.rate()
        self.next_retry_at = max(self.next_retry_at, now - BURST * step) + step
        delay = self.next_retry_at - now
        if asked:
            place = max(self.next_asked_at, now + asked)
            self.next_asked_at = place + step
            delay = max(delay, place - now)
        return _fold(delay, asked, MAX_RETRY_AFTER.total_seconds())


def _fold(delay: float, low: float, high: float) -> float:
    """The delay, or where it is above `high` a place between the two that spreads as it did."""
    if delay > high:
        delay = low + (delay - low) % (high - low) if low < high else high
    return max(delay, 0.0)


@dataclass(kw_only=True)
class Breaker:
    """The health of every host this process calls. Safe to share between threads."""

    _hosts: dict[Host, HostHealth] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count_call(self, host: Host, now: float, *, first: bool) -> None:
        """Count a call that starts."""
        with self._lock:
            self._find(host, now).count_call(now, first=first)

    def note_success(self, host: Host, now: float) -> None:
        """The host answered, and not with 429 or 5xx."""
        with self._lock:
            self._find(host, now).note_success()

    def note_failure(self, host: Host, now: float, *, asked: timedelta | None = None) -> timedelta | None:
        """The host failed to connect, to answer in time or well (429, 5xx); `asked` is its Retry-After.

        Answers how long a retry should wait at least, at most an hour; None: no opinion.
        """
        with self._lock:
            seconds = asked.total_seconds() if asked else 0.0
            delay = self._find(host, now).note_failure(now, asked=seconds)
        return timedelta(seconds=delay) if delay else None

    def is_open(self, host: Host) -> bool:
        """Whether retries to the host are being spread."""
        with self._lock:
            known = self._hosts.get(host)
            return known is not None and not known.is_closed

    def _find(self, host: Host, now: float) -> HostHealth:
        known = self._hosts.get(host)
        if known is None:
            if len(self._hosts) >= _MAX_HOSTS:
                self._forget_half()
            known = self._hosts[host] = HostHealth(window_started_at=now, last_used_at=now)
        return known

    def _forget_half(self) -> None:
        by_age = sorted(self._hosts, key=lambda host: self._hosts[host].last_used_at)
        for host in by_age[: _MAX_HOSTS // 2]:
            del self._hosts[host]
