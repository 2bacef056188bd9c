"""Why a verb was not done. Faces need no translation: the API answers these as they are."""

from __future__ import annotations

from web import errors


class Refused(errors.Conflict):
    """The thing is in a state in which the verb makes no sense; the text says which (409)."""


class Invalid(errors.Invalid, ValueError):
    """A value of the call is wrong: `field` names it, the text says why (400)."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__({field: message}, message)
        self.field = field

    def __str__(self) -> str:
        return self.message
