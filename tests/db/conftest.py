"""What every test with a database begins with."""

from __future__ import annotations

import pytest

from executions.api import health


@pytest.fixture(autouse=True)
def _nothing_seen_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that web processes share for a second would be that of another test, or of a moment ago."""
    health._picture.forget()
    monkeypatch.setattr(health._picture, "_keep", 0.0)
