"""Fixtures for all tests."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from psycopg import sql

from tests import brokers, postgres
from tests.brokers import Broker
from tests.fault.database import Database, prepare


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
    with fresh_database(request, tmp_path) as address:
        yield address


@pytest.fixture
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path, migrated_template: str) -> Iterator[str]:
    """The same with the product's tables, for tests that are not about making them."""
    with fresh_database(request, tmp_path, template=migrated_template) as address:
        yield address


@pytest.fixture(scope="session")
def migrated_template(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A migrated database that nobody uses, to be copied: a copy costs a moment, migrating seconds."""
    with fresh_database(request, tmp_path_factory.mktemp("template")) as address:
        prepare(Database(address))
        yield address


@contextmanager
def fresh_database(request: pytest.FixtureRequest, folder: Path, *, template: str = "") -> Iterator[str]:
    """A database for a fixture that may live longer than one test: a copy of `template`, else empty."""
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        path = folder / "product.sqlite3"
        if template:
            shutil.copyfile(template.removeprefix("sqlite:///"), path)
        yield f"sqlite:///{path}"
        return
    server = request.getfixturevalue("postgres_url")
    name = f"product_{os.getpid()}_{secrets.token_hex(4)}"
    source = sql.Identifier(template.rpartition("/")[2] or "template1")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), source))
    yield f"{server.rpartition('/')[0]}/{name}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
