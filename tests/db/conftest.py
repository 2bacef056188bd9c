"""What every test with a database begins with."""

from __future__ import annotations

import pytest

from executions.api import health


@pytest.fixture(autouse=True)
def _nothing_seen_before() -> None:
    """A picture that web processes share for a second is none of the next test."""
    health._picture.forget()
