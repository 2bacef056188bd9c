"""Names for jobs to be that no other job has."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

from jobs.importers.candidate import Candidate


class Names:
    """The names that are taken: those of the `present` jobs, and those given since."""

    def __init__(self, present: Iterable[str]) -> None:
        self._present = frozenset(present)
        self._taken = set(self._present)

    def give(self, one: Candidate) -> None:
        """Number its name where another job has it; a note says so where that is not of this import."""
        wanted = one.name
        numbers = count(2)
        while one.name in self._taken:
            one.name = f"{wanted} ({next(numbers)})"
        if wanted in self._present:
            one.notes.append(f"renamed: a job named {wanted} exists")
        self._taken.add(one.name)
