"""Known defects, seeded into a started process, to see that the harness catches them."""

from __future__ import annotations


def seed(name: str) -> None:
    """Break the engine in the way that FAULT_DEFECT names; nothing where it is empty."""
    if name:
        raise ValueError(f"unknown defect {name!r}")
