"""Fixtures for all tests."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from psycopg import sql

from tests import brokers, postgres
from tests.brokers import Broker


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """The address of a PostgreSQL that other processes can reach; the test is skipped where there is none."""
    try:
        return postgres.server_url()
    except postgres.Unavailable as error:
        if os.environ.get("CI"):
            pytest.fail(f"no PostgreSQL: {error}")
        pytest.skip(f"no PostgreSQL: {error}")


@pytest.fixture(scope="session")
def find_broker() -> Iterator[Callable[[str], Broker]]:
    """A broker of a kind that tests may kill and flush; skipped, and said so, where there is none."""
    made: dict[str, Broker] = {}

    def find(kind: str) -> Broker:
        if kind not in made:
            try:
                made[kind] = brokers.KINDS[kind]()
                made[kind].start()
            except brokers.Unavailable as error:
                if os.environ.get("CI"):
                    pytest.fail(f"no {kind}: {error}")
                pytest.skip(f"NOT TESTED with Celery on {kind}: {error}")
        return made[kind]

    yield find
    for broker in made.values():
        broker.remove()


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database of this run's kind, for the processes a test starts."""
    with empty_database(request, tmp_path) as address:
        yield address


@contextmanager
def empty_database(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """The same for a fixture that lives longer than one test."""
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        yield f"sqlite:///{folder / 'product.sqlite3'}"
        return
    server = request.getfixturevalue("postgres_url")
    name = f"product_{os.getpid()}_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield f"{server.rpartition('/')[0]}/{name}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
