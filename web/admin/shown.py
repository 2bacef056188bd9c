"""How values look in the admin: escaped, with their zone, and never by colour alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

NOTHING = "\N{EN DASH}"
LONGEST_NAME = 80

# A sign for every word that has a colour.
SIGNS = {
    "active": "●",
    "running": "▶",
    "success": "✓",
    "completed": "✓",
    "delivered": "✓",
    "done": "✓",
    "failed": "✕",
    "stalled": "!",
    "stopped": "✕",
    "retrying": "↻",
    "pending": "…",
    "canary": "…",
    "paused": "Ⅱ",
    "inactive": "○",
    "cancelled": "⊘",
    "skipped": "»",
    "deleted": "⊘",
    "open": "!",
    "resolved": "✓",
    "drifted": "≠",
}


def badge(word: str, text: str = "") -> SafeString:
    """A state as a coloured word with its sign."""
    kind = word.lower()
    return format_html(
        '<span class="badge badge-{}"><span aria-hidden="true">{}</span> {}</span>',
        kind if kind in SIGNS else "other",
        SIGNS.get(kind, "·"),
        text or kind,
    )


def name(text: str, longest: int = LONGEST_NAME) -> SafeString:
    """A name that somebody chose: isolated from the direction of what stands around it, and cut."""
    short = text if len(text) <= longest else f"{text[: longest - 1]}…"
    if short == text:
        return format_html('<bdi class="name">{}</bdi>', text)
    return format_html('<bdi class="name" title="{}">{}</bdi>', text[:1000], short)


def link(url: str, text: Any, **attributes: str) -> SafeString:
    """A link to one of our own pages."""
    extra = format_html_join("", ' {}="{}"', attributes.items())
    return format_html('<a href="{}"{}>{}</a>', url, extra, text)


def outside_link(url: str | None) -> SafeString | str:
    """An address that somebody typed: a link only for http and https, text else."""
    if not url:
        return NOTHING
    try:
        web = urlsplit(url).scheme.lower() in ("http", "https")
    except ValueError:
        web = False
    if not web:
        return name(url, 200)
    return format_html('<a href="{}" rel="noopener noreferrer nofollow">{}</a>', url, name(url, 200))


def moment(at: datetime | None, zone: str = "UTC", *, seconds: bool = True) -> SafeString | str:
    """A time in a zone, which is always named; `title` and `datetime` carry UTC."""
    if at is None:
        return NOTHING
    try:
        local = at.astimezone(ZoneInfo(zone))
    except (KeyError, ValueError, OSError):
        local, zone = at.astimezone(UTC), "UTC"
    form = "%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M"
    label = zone if zone == "UTC" else f"{zone} {local:%z}"
    # A long zone may stand in a line of its own, where room is scarce.
    return format_html(
        '<time{} datetime="{}"><span class="clock">{}</span> <span class="zone">{}</span></time>',
        "" if zone == "UTC" else format_html(' class="{}"', "elsewhere"),
        at.astimezone(UTC).isoformat(timespec="milliseconds"),
        local.strftime(form),
        label,
    )


def relative(at: datetime | None, now: datetime) -> str:
    """`in 5 min`, `3 h ago`, `now`."""
    if at is None:
        return NOTHING
    span = at - now
    if abs(span) < timedelta(seconds=1):
        return "now"
    text = spell_span(abs(span))
    return f"in {text}" if span > timedelta(0) else f"{text} ago"


def when(at: datetime | None, now: datetime, zone: str = "UTC") -> SafeString | str:
    """A time twice: relative and exact."""
    if at is None:
        return NOTHING
    return format_html(
        '<span class="when"><span>{}</span> <small>{}</small></span>', relative(at, now), moment(at, zone)
    )


def spell_span(span: timedelta) -> str:
    """A span in its largest unit: `12 s`, `5 min`, `3 h`, `2 days`."""
    seconds = int(span.total_seconds())
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= size:
            count = round(seconds / size)
            return f"{count} day" if unit == "days" and count == 1 else f"{count} {unit}"
    return f"{seconds} s"


def duration(ms: float | None) -> str:
    """Milliseconds for people."""
    if ms is None:
        return NOTHING
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 120_000:
        return f"{ms / 1000:.1f} s"
    return spell_span(timedelta(milliseconds=ms))


def number(value: int) -> str:
    """A count with thin groups of thousands."""
    return f"{value:,}".replace(",", "\u202f")


def code(value: Any, *, empty: str = NOTHING) -> SafeString | str:
    """A text or a JSON value as it is, in a box that scrolls."""
    if value in (None, "", {}, []):
        return empty
    text = value if isinstance(value, str) else pretty(value)
    return format_html('<pre class="code" tabindex="0">{}</pre>', text)


def pretty(value: Any) -> str:
    """JSON for reading."""
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True, default=str)


def differences(changes: Any) -> list[dict[str, Any]]:
    """The rows of a table of changes: field, old, new; other details have no old."""
    if not isinstance(changes, dict):
        return []
    rows = []
    for field, value in sorted(changes.items()):
        if isinstance(value, dict) and set(value) <= {"old", "new"} and value:
            rows.append({"field": field, "old": word(value.get("old")), "new": word(value.get("new"))})
        elif field == "new" and isinstance(value, dict):
            rows += [
                {"field": inner, "old": None, "new": word(entry)}
                for inner, entry in sorted(value.items())
                if entry not in (None, "", {}, [], False)
            ]
        else:
            rows.append({"field": field, "old": None, "new": word(value)})
    return rows


def word(value: Any) -> str:
    """A value of a definition as text."""
    if value is None:
        return NOTHING
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return ", ".join(value)
    return value if isinstance(value, str) else pretty(value)
