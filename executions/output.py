"""What handlers answer, made storable: the one sanitiser at the boundary to the database."""

from __future__ import annotations

import codecs
import json
import math
from typing import Any

import orjson

TEXT_LIMIT = 61_440  # bytes of UTF-8
CUT = "…[truncated]"
JSON_LIMIT = 1_048_576
DEPTH_LIMIT = 32
_BIG = 10**4300
_STRICT = orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


def clean_text(text: object, *, limit: int = TEXT_LIMIT) -> tuple[str, bool]:
    """The text as both databases can store it, and whether it had to be changed.

    NUL and lone surrogates become U+FFFD; at most `limit` bytes of UTF-8, cut with a mark.
    """
    given = text if isinstance(text, str) else _words(text)
    if len(given) <= limit and given.isascii() and "\x00" not in given:
        return given, False
    clean = given.replace("\x00", "\ufffd").encode("utf-8", "replace_surrogates").decode("utf-8")
    data = clean.encode("utf-8")
    if len(data) > limit:
        keep = data[: limit - len(CUT.encode())].decode("utf-8", "ignore")
        return keep + CUT, True
    return clean, clean != given


def clean_json(value: Any) -> tuple[Any, bool]:
    """The value as JSON that both databases can store, and whether it had to be changed.

    NaN and infinities become null, numbers beyond 4,300 digits and things that JSON does not
    know become text, nesting below 32 levels and values over 1 MiB become a note.
    """
    plain = _read_plain(value)
    if plain is not None:
        return plain, False
    cleaner = _Cleaner()
    cleaned = cleaner.clean(value, 0)
    if cleaned is not None and len(json.dumps(cleaned)) > JSON_LIMIT:
        return {"truncated": True}, True
    return cleaned, cleaner.altered


def _read_plain(value: Any) -> Any:
    """A copy of what is plain, small JSON already, as nearly every answer is; None for all else.

    Walking each value in Python costs more than the rest of an ending. orjson refuses what JSON does
    not know; what it lets pass, and we do not, shows in its text: NaN as `null`, NUL as an escape.
    """
    try:
        text = orjson.dumps(value, option=_STRICT)
    except TypeError:
        return None
    if len(text) > TEXT_LIMIT or text.count(b"{") + text.count(b"[") > DEPTH_LIMIT:
        return None
    return None if b"null" in text or b"\\u0000" in text else orjson.loads(text)


class _Cleaner:
    """Walks one value and remembers whether anything had to be changed."""

    def __init__(self) -> None:
        self.altered = False

    def clean(self, item: Any, depth: int) -> Any:
        if item is None or isinstance(item, bool):
            return item
        if isinstance(item, str):
            return self._text(item)
        if isinstance(item, int | float):
            return self._number(item)
        if isinstance(item, dict | list | tuple):
            return self._nested(item, depth)
        self.altered = True
        return clean_text(_words(item))[0]

    def _text(self, item: str) -> str:
        text, changed = clean_text(item)
        self.altered |= changed
        return text

    def _number(self, item: float) -> Any:
        if isinstance(item, int):
            if -_BIG < item < _BIG:
                return int(item)
            self.altered = True
            return f"a number of {item.bit_length()} bits"
        if math.isfinite(item):
            return item
        self.altered = True
        return None

    def _nested(self, item: Any, depth: int) -> Any:
        if depth >= DEPTH_LIMIT:
            self.altered = True
            return CUT
        if isinstance(item, dict):
            return {self._text(_words(key)): self.clean(entry, depth + 1) for key, entry in item.items()}
        return [self.clean(entry, depth + 1) for entry in item]


def _words(item: object) -> str:
    try:
        return str(item)
    except Exception:  # a foreign object's own __str__ may raise anything
        return f"<{type(item).__name__}>"


def _replace(error: UnicodeError) -> tuple[bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "\ufffd".encode() * (error.end - error.start), error.end


codecs.register_error("replace_surrogates", _replace)
