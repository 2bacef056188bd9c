"""What a simulation counted, and what it advises."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any


@dataclass(kw_only=True, slots=True)
class Report:
    """Counts of one simulation; the same seed gives the same report.

    Lateness is from the fire time to the start, in seconds.
    """

    fire_times: int = 0
    started: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    retries: int = 0
    crashes: int = 0
    overlaps: Counter[str] = field(default_factory=Counter)
    per_hour: Counter[datetime] = field(default_factory=Counter)
    per_minute: Counter[datetime] = field(default_factory=Counter)
    lateness: list[float] = field(default_factory=list)
    most_running: int = 0
    busy_seconds: float = 0.0
    unfinished: int = 0

    def fired(self, at: datetime, count: int = 1) -> None:
        """Count fire times, by hour and by minute."""
        self.fire_times += count
        self.per_hour[at.replace(minute=0, second=0, microsecond=0)] += count
        self.per_minute[at.replace(second=0, microsecond=0)] += count

    def hot_spots(self, count: int = 5) -> list[tuple[datetime, int]]:
        """The minutes with the most fire times."""
        ranked = sorted(self.per_minute.items(), key=lambda entry: (-entry[1], entry[0]))
        return ranked[:count]

    def percentile(self, share: float) -> float:
        """The lateness that this share of the starts did not exceed."""
        if not self.lateness:
            return 0.0
        ranked = sorted(self.lateness)
        return ranked[min(len(ranked) - 1, int(len(ranked) * share))]

    def advice(self, *, slots: int) -> list[str]:
        """How to spread what fires together: a jitter as long as the hot minute takes to work off."""
        if not self.started:
            return []
        mean = self.busy_seconds / self.started
        found = []
        for at, count in self.hot_spots():
            needed = timedelta(seconds=round(count * mean / max(slots, 1)))
            if count > slots and needed > timedelta(seconds=10):
                jitter = min(3600, max(60, int(needed.total_seconds())))
                found.append(
                    f"{at:%Y-%m-%d %H:%M}: {count} fire times take {slots} slots about {needed};"
                    f" jitterSeconds={jitter} on these jobs spreads them"
                )
        return found

    def as_dict(self, *, slots: int) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "fireTimes": self.fire_times,
            "started": self.started,
            "outcomes": dict(sorted(self.outcomes.items())),
            "skipped": dict(sorted(self.skipped.items())),
            "retries": self.retries,
            "crashes": self.crashes,
            "unfinished": self.unfinished,
            "overlaps": dict(sorted(self.overlaps.items(), key=lambda entry: (-entry[1], entry[0]))[:20]),
            "mostRunning": self.most_running,
            "latenessSeconds": {
                "p50": round(self.percentile(0.5), 3),
                "p95": round(self.percentile(0.95), 3),
                "max": round(max(self.lateness, default=0.0), 3),
            },
            "perHour": {at.isoformat(): count for at, count in sorted(self.per_hour.items())},
            "hotSpots": [{"minute": at.isoformat(), "count": count} for at, count in self.hot_spots()],
            "advice": self.advice(slots=slots),
        }
