"""One thing that another scheduler runs, as the job it would become."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True)
class Candidate:
    """A job to be, or the reason why it cannot be.

    `key` names the original, so that a second import knows it again. `columns` are those of the job.
    `lost` is why nothing can be carried over; `notes` say what is different, or was left behind.
    `active` is False where the original is off, or where the job must not run before somebody looked.
    `handler_hint` is what helps where the handler refuses its payload.
    """

    key: str
    origin: str
    name: str
    columns: dict[str, Any] = field(default_factory=dict)
    active: bool = True
    notes: list[str] = field(default_factory=list)
    lost: str = ""
    handler_hint: str = ""
