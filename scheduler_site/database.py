"""The database as Django wants it, from DATABASE_URL or the DB_ variables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from scheduler_site.environment import Environment
from web.patience import PatientConnection

Database = dict[str, Any]

POSTGRES_SCHEMES = ("postgres", "postgresql", "pgsql", "psql")
# What libpq understands and an operator may need; every other key of the URL's query is ignored.
QUERY_OPTIONS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "channel_binding", "options", "service")
SERVER_SETTINGS = {
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "10s",
    "client_connection_check_interval": "1s",
    "TimeZone": "UTC",
}


def configure(env: Environment, *, application: str) -> Database:
    """The `default` entry of DATABASES; problems are remembered in `env` under the variable's name."""
    if env.given("DATABASE_URL"):
        return _from_url(env, env.text("DATABASE_URL"), application)
    if env.given("DB_HOST"):
        return _from_family(env, application)
    return sqlite(env.root / "db.sqlite3")


def sqlite(path: Path | str) -> Database:
    """An embedded database: many readers beside one writer, which waits for its turn up to 20 s."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
        },
    }


def postgresql(
    env: Environment,
    *,
    application: str,
    host: str,
    port: int | str,
    name: str,
    user: str,
    password: str,
    options: dict[str, str] | None = None,
) -> Database:
    """A PostgreSQL server behind a pool of DB_POOL_MIN to DB_POOL_MAX connections per process."""
    bouncer = env.flag("DB_PGBOUNCER", False)
    low = env.whole("DB_POOL_MIN", 2, 0, 1000)
    high = env.whole("DB_POOL_MAX", 20, 2, 1000)
    if low > high:
        env.refuse("DB_POOL_MIN", f"must not be above DB_POOL_MAX ({high})")
        low = high
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": user,
        "PASSWORD": password,
        "HOST": host,
        "PORT": str(port),
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": bouncer,
        "OPTIONS": {
            **(options or {}),
            **_connection(application, bouncer=bouncer, given=(options or {}).get("options", "")),
            "pool": {
                "min_size": low,
                "max_size": high,
                "timeout": 5,
                "max_idle": 300,
                "max_lifetime": 3600,
                # After an outage the next request tries again at once, not after a long backoff.
                "reconnect_timeout": 3,
                "connection_class": PatientConnection,
            },
        },
    }


def _connection(application: str, *, bouncer: bool, given: str) -> dict[str, Any]:
    """How each connection is opened, so that a dead peer is noticed and never holds a lock for long."""
    watch: dict[str, Any] = {
        "application_name": application,
        "connect_timeout": 5,
        "keepalives": 1,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
        "target_session_attrs": "read-write",
    }
    if bouncer:
        # PgBouncer refuses start-up options, and a prepared statement may meet another server connection.
        return watch | {"prepare_threshold": None}
    settings = " ".join(f"-c {name}={value}" for name, value in SERVER_SETTINGS.items())
    return watch | {"options": f"{settings} {given}".strip()}


def _from_url(env: Environment, text: str, application: str) -> Database:
    scheme = text.partition(":")[0].lower()
    if scheme == "sqlite":
        return _from_sqlite_url(env, text)
    if scheme not in POSTGRES_SCHEMES:
        env.refuse("DATABASE_URL", "must start with postgresql:// or sqlite:///")
        return sqlite(env.root / "db.sqlite3")
    try:
        url = urlsplit(text)
        port = url.port or 5432
    except ValueError:
        env.refuse("DATABASE_URL", "cannot be read: special characters in it must be percent-encoded")
        return sqlite(env.root / "db.sqlite3")
    query = dict(parse_qsl(url.query))
    name = unquote(url.path.lstrip("/"))
    if not name or (not url.hostname and "host" not in query):
        env.refuse(
            "DATABASE_URL", "must name a host and a database: postgresql://user:password@host:5432/name"
        )
    return postgresql(
        env,
        application=application,
        host=query.get("host", unquote(url.hostname or "")),
        port=query.get("port", port),
        name=name,
        user=unquote(url.username or query.get("user", "")),
        password=unquote(url.password or query.get("password", "")),
        options={key: query[key] for key in QUERY_OPTIONS if key in query},
    )


def _from_sqlite_url(env: Environment, text: str) -> Database:
    path = unquote(re.sub(r"^sqlite:(//)?", "", text, flags=re.IGNORECASE).partition("?")[0])
    if path in ("", "/", ":memory:", "/:memory:"):
        env.refuse(
            "DATABASE_URL", "must name a file, such as sqlite:///db.sqlite3: web and scheduler share it"
        )
        path = "/db.sqlite3"
    # sqlite:///name starts at the project, sqlite:////name at the root of the disk
    target = (env.root / path[1:]).resolve() if path.startswith("/") else (env.root / path).resolve()
    if not target.parent.is_dir():
        env.refuse("DATABASE_URL", f"names a file in a folder that does not exist: {target.parent}")
    return sqlite(target)


def _from_family(env: Environment, application: str) -> Database:
    name = env.text("DB_NAME", "", "DB_DATABASE")
    user = env.text("DB_USER", "", "DB_USERNAME")
    if not name:
        env.refuse("DB_NAME", "is required when DB_HOST is set")
    return postgresql(
        env,
        application=application,
        host=env.text("DB_HOST"),
        port=env.whole("DB_PORT", 5432, 1, 65535),
        name=name,
        user=user,
        password=env.text("DB_PASS", "", "DB_PASSWORD"),
    )
