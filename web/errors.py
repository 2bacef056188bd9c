"""What can be refused, in words that every face understands.

Domain verbs raise these, the API answers with their status and the admin shows their message. None of
them knows HTTP beyond its number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

WORDS = {
    400: "Validation error",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Payload too large",
    415: "Unsupported media type",
    429: "Too many requests",
    500: "Internal server error",
    503: "Service unavailable",
}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong with a request; `field` is its name on the wire, dotted when nested."""

    field: str
    message: str


class Refusal(Exception):
    """A request that is not carried out; the text is for the caller."""

    status: ClassVar[int] = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @property
    def error(self) -> str:
        """The short word of the error body."""
        return WORDS[self.status]


class Invalid(Refusal):
    """Bad input. `problems` maps each field to what is wrong with it, or lists Problem values."""

    status = 400

    def __init__(
        self, problems: Mapping[str, str] | Iterable[Problem], message: str = "The request is not valid"
    ) -> None:
        super().__init__(message)
        if isinstance(problems, Mapping):
            problems = [Problem(field=field, message=text) for field, text in problems.items()]
        self.problems = list(problems)

    def __str__(self) -> str:
        return "; ".join(f"{problem.field}: {problem.message}" for problem in self.problems) or self.message


class Unauthorized(Refusal):
    """No token where one is needed, or one that is not good."""

    status = 401


class Forbidden(Refusal):
    """The caller is known, and may not."""

    status = 403


class NotFound(Refusal):
    """There is no such thing, or not for this caller. `noun` names its kind: NotFound("Job")."""

    status = 404

    def __init__(self, noun: str) -> None:
        super().__init__(f"{noun} not found")

    @property
    def error(self) -> str:
        return self.message


class MethodNotAllowed(Refusal):
    """The route exists, without this method."""

    status = 405

    def __init__(self, message: str, *, allow: Iterable[str]) -> None:
        super().__init__(message)
        self.allow = list(allow)


class Conflict(Refusal):
    """The state of the thing does not allow it, or it exists already."""

    status = 409


class PayloadTooLarge(Refusal):
    """The body is longer than we read."""

    status = 413


class UnsupportedMediaType(Refusal):
    """The body is not JSON."""

    status = 415


class TooManyRequests(Refusal):
    """Come back in `wait` seconds."""

    status = 429

    def __init__(self, message: str, *, wait: int) -> None:
        super().__init__(message)
        self.wait = wait


class Unavailable(Refusal):
    """Something that we need, mostly the database, does not answer now."""

    status = 503
