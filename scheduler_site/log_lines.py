"""How one log record becomes one line: JSON for machines, short text for people. Never a secret in either."""

from __future__ import annotations

import json
import logging
import math
import re
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS, merge_record_extra
from pythonjsonlogger.json import JsonFormatter

from web import logcontext, tracing
from web.redaction import masked, redact

LEVELS = {"WARNING": "WARN", "CRITICAL": "ERROR"}
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def timestamp(record: logging.LogRecord) -> str:
    """The record's moment as `2026-01-20T10:00:00.000Z`."""
    text = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def extras(record: logging.LogRecord) -> dict[str, Any]:
    """The context of the line and what the caller gave as `extra`, by camelCase names."""
    # Django adds the whole request to what it logs; its id is in the context.
    given = merge_record_extra(record, {}, reserved={*RESERVED_ATTRS, "request"})
    context = {**logcontext.current(), **tracing.ids()}
    return {**context, **{_camel(key): value for key, value in given.items()}}


class JsonLines(JsonFormatter):
    """One JSON object per record: timestamp, level, logger, message, event, the context, then extras."""

    def __init__(self, known_secrets: frozenset[str] = frozenset()) -> None:
        super().__init__(json_serializer=_dumps)
        self._known = known_secrets

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        fields = {**extras(record), **message_dict}
        log_data["timestamp"] = timestamp(record)
        log_data["level"] = LEVELS.get(record.levelname, record.levelname)
        log_data["logger"] = record.name
        log_data["message"] = redact(record.getMessage(), self._known)
        for key in ("event", "requestId", "jobId", "executionId", "attempt"):
            log_data[key] = fields.pop(key, None)
        log_data.update(masked(fields, self._known))


class ShortLines(logging.Formatter):
    """`10:00:00.000 INFO  executions.engine.loop: message  name=value`, for a person at the console."""

    def __init__(self, known_secrets: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self._known = known_secrets

    def format(self, record: logging.LogRecord) -> str:
        level = LEVELS.get(record.levelname, record.levelname)
        # One record is one line: a line break inside a message could pretend to be another record.
        message = CONTROL.sub(lambda found: repr(found[0])[1:-1], record.getMessage())
        fields = masked(extras(record), self._known)
        tail = "".join(f" {key}={value}" for key, value in fields.items() if key != "event")
        text = f"{timestamp(record)[11:23]} {level:<5} {record.name}: {message}{' ' if tail else ''}{tail}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return redact(text, self._known)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def _dumps(value: Any, **_options: Any) -> str:
    try:
        return json.dumps(value, default=str, allow_nan=False)
    except (ValueError, TypeError, RecursionError):  # NaN, odd keys, a circle
        return json.dumps(_plain(value), default=str)


def _plain(value: Any, depth: int = 0) -> Any:
    if depth > 8:
        return "…"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _plain(entry, depth + 1) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry, depth + 1) for entry in value]
    return value
