"""Query parameters: unknown ones are nobody's business, bad values are refused all at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import TypeVar
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from web.api.fields import NOT_A_UUID, read_uuid
from web.errors import Invalid
from web.moments import DAY_PATTERN, MOMENT_PATTERN, parse_moment, parse_since, parse_until

Value = TypeVar("Value")

_WHOLE = re.compile(r"[+-]?\d{1,10}", re.ASCII)
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


def moment_parameter(name: str, what: str) -> OpenApiParameter:
    """Describes a parameter that `QueryReader.moment` reads."""
    return OpenApiParameter(
        name, OpenApiTypes.STR, description=f"{what}: a time", pattern=f"^{MOMENT_PATTERN}$"
    )


def day_parameter(name: str, what: str) -> OpenApiParameter:
    """Describes a parameter that `QueryReader.since` or `until` reads."""
    pattern = f"^({DAY_PATTERN}|{MOMENT_PATTERN})$"
    return OpenApiParameter(
        name, OpenApiTypes.STR, description=f"{what}: a time, or a whole UTC day", pattern=pattern
    )


class QueryReader:
    """Reads typed values and remembers what was wrong; leaving the `with` block raises Invalid.

        with QueryReader(request.query_params) as query:
            status = query.word("status", STATES)
            since = query.since("fromDate")

    Every reader answers its default for a parameter that is absent or bad.
    """

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._parameters = parameters
        self.problems: dict[str, str] = {}

    def __enter__(self) -> QueryReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self.problems:
            raise Invalid(self.problems)

    def refuse(self, name: str, reason: str) -> None:
        """Remember that the parameter is wrong; the first reason counts."""
        self.problems.setdefault(name, reason)

    def text(self, name: str, *, max_length: int = 255) -> str | None:
        """Free text; empty text is no filter."""
        text = self._parameters.get(name)
        if text and len(text) > max_length:
            self.refuse(name, f"Must not be longer than {max_length} characters")
            return None
        return text or None

    def whole(self, name: str, default: int, *, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""

        def read(text: str) -> int:
            if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
                raise ValueError(f"Must be a whole number from {low} to {high}")
            return int(text)

        found = self._read(name, read)
        return default if found is None else found

    def flag(self, name: str, default: bool) -> bool:
        """true or false."""

        def read(text: str) -> bool:
            if text.lower() not in _FLAGS:
                raise ValueError("Must be true or false")
            return _FLAGS[text.lower()]

        found = self._read(name, read)
        return default if found is None else found

    def word(self, name: str, words: Iterable[str], default: str | None = None) -> str | None:
        """One of the words, in any case, as `words` writes it."""
        known = {word.lower(): word for word in words}

        def read(text: str) -> str:
            if text.lower() not in known:
                raise ValueError(f"Must be one of {', '.join(known.values())}")
            return known[text.lower()]

        found = self._read(name, read)
        return default if found is None else found

    def uuid(self, name: str) -> UUID | None:
        """An id."""

        def read(text: str) -> UUID:
            found = read_uuid(text)
            if found is None:
                raise ValueError(NOT_A_UUID)
            return found

        return self._read(name, read)

    def moment(self, name: str) -> datetime | None:
        """One instant."""
        return self._read(name, parse_moment)

    def since(self, name: str) -> datetime | None:
        """The first instant of the range that starts here (`>=`); a bare date starts at its UTC midnight."""
        return self._read(name, parse_since)

    def until(self, name: str) -> datetime | None:
        """The first instant after the range that ends here (`<`); a bare date is in it whole."""
        return self._read(name, parse_until)

    def _read(self, name: str, read: Callable[[str], Value]) -> Value | None:
        text = self._parameters.get(name)
        if text is None:
            return None
        try:
            return read(text)
        except ValueError as error:
            self.refuse(name, str(error))
            return None
