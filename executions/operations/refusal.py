"""Why a verb was not done."""

from __future__ import annotations


class Refused(Exception):
    """The thing is in a state in which the verb makes no sense; the text says which (409)."""


class Invalid(ValueError):
    """A value of the call is wrong: `field` names it, the text says why (400)."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
