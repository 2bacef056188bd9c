"""A database of its own for a measurement: made, migrated, and dropped again.

The server is the one that TEST_DATABASE_URL or DATABASE_URL names, else a private one from a wheel.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg


@contextmanager
def own_database() -> Iterator[str]:
    """Set Django up on a fresh PostgreSQL database; yields its address."""
    from tests import postgres

    server = os.environ.get("TEST_DATABASE_URL") or os.environ.get("DATABASE_URL") or postgres.server_url()
    name = f"bench_{os.getpid()}_{secrets.token_hex(3)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    address = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    try:
        _set_up(address)
        try:
            yield address
        finally:
            _close()
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _set_up(address: str) -> None:
    os.environ["DATABASE_URL"] = address
    os.environ["DJANGO_SETTINGS_MODULE"] = "scheduler_site.settings"
    os.environ["APP_ENV"] = "test"
    for name in ("SECRET_KEY", "JWT_SECRET"):
        os.environ.setdefault(name, secrets.token_urlsafe(48))
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


def _close() -> None:
    from django.db import connections

    for connection in connections.all():
        connection.close()
        connection.close_pool()  # type: ignore[attr-defined]
