"""Fixtures for all tests."""

from __future__ import annotations

import os

import pytest

from tests import postgres


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """The address of a PostgreSQL that other processes can reach; the test is skipped where there is none."""
    try:
        return postgres.server_url()
    except postgres.Unavailable as error:
        if os.environ.get("CI"):
            pytest.fail(f"no PostgreSQL: {error}")
        pytest.skip(f"no PostgreSQL: {error}")
