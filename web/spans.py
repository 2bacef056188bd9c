"""What a span is to those who open one: its attributes, its headers, and what may be said about it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

Fact = str | int | float | bool
Facts = Mapping[str, Fact]
Carrier = Mapping[str, str]  # the headers by which another process goes on with a span

NOTHING: Carrier = MappingProxyType({})


class Span(Protocol):
    """What one may say about a piece of work while it goes on."""

    def note(self, facts: Facts) -> None:
        """Add attributes."""

    def rename(self, name: str) -> None:
        """Call it otherwise, once it is known what it is."""

    def fail(self, reason: str) -> None:
        """Mark it as failed."""

    def drop(self) -> None:
        """Forget it: it was not worth telling."""
