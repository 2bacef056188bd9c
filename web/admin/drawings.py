"""Small drawings as inline SVG: made of numbers and escaped text, without style and script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

BAR, GAP, HEIGHT = 5, 2, 24


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One run: its state, how long it took in milliseconds, and what a reader hears of it."""

    status: str
    value: float | None
    title: str


def draw_sparkline(bars: Sequence[Bar], *, slots: int = 20) -> SafeString:
    """Runs as bars, the oldest left; what failed is full and crossed, what did not run is a dot."""
    if not bars:
        return format_html('<span class="quiet">{}</span>', "no runs yet")
    top = max((math.log1p(bar.value) for bar in bars if bar.value), default=1.0) or 1.0
    parts = format_html_join(
        "",
        "{}",
        ((_draw_bar(place * (BAR + GAP), bar, top),) for place, bar in enumerate(bars)),
    )
    counts: dict[str, int] = {}
    for bar in bars:
        counts[bar.status.lower()] = counts.get(bar.status.lower(), 0) + 1
    label = f"Last {len(bars)} runs: " + ", ".join(f"{count} {word}" for word, count in counts.items())
    width = slots * (BAR + GAP)
    return format_html(
        '<svg class="sparkline" role="img" aria-label="{}" width="{}" height="{}" viewBox="0 0 {} {}">'
        "{}</svg>",
        label,
        width,
        HEIGHT,
        width,
        HEIGHT,
        parts,
    )


def _draw_bar(x: int, bar: Bar, top: float) -> SafeString:
    status = bar.status.lower()
    if status == "failed":
        return format_html(
            '<g><title>{}</title><rect class="fill-failed" x="{}" y="0" width="{}" height="{}"/>'
            '<path class="cross" d="M{} 3l3 4m0-4l-3 4"/></g>',
            bar.title,
            x,
            BAR,
            HEIGHT,
            x + 1,
        )
    if status in ("skipped", "cancelled", "pending", "retrying"):
        return format_html(
            '<circle class="fill-{}" cx="{}" cy="{}" r="2"><title>{}</title></circle>',
            status,
            x + BAR / 2,
            HEIGHT - 3,
            bar.title,
        )
    share = math.log1p(bar.value or 0) / top
    height = max(4, round(share * (HEIGHT - 4)))
    return format_html(
        '<rect class="fill-{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>',
        status,
        x,
        HEIGHT - height,
        BAR,
        height,
        bar.title,
    )
