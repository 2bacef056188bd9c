"""What every test with a database begins with."""

from __future__ import annotations

import pytest
from django.core.cache import cache

from executions.api import health


@pytest.fixture(autouse=True)
def _nothing_seen_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """What web processes keep for a while would be that of another test: numbers of rows come again."""
    cache.clear()
    health._picture.forget()
    monkeypatch.setattr(health._picture, "_keep", 0.0)
