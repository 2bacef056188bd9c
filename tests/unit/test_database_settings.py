"""DATABASE_URL and the DB_ variables as Django's DATABASES."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scheduler_site import database
from scheduler_site.environment import Environment


def configured(root: Path, **values: str) -> tuple[dict[str, Any], dict[str, str]]:
    env = Environment(values, root=root)
    return database.configure(env, application="tests"), env.problems


def test_without_any_setting_the_database_is_a_file_in_the_project(tmp_path: Path) -> None:
    config, problems = configured(tmp_path)

    assert config["ENGINE"] == "django.db.backends.sqlite3"
    assert config["NAME"] == str(tmp_path / "db.sqlite3")
    assert config["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert problems == {}


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite:///data.sqlite3", "{root}/data.sqlite3"),
        ("'sqlite:///data.sqlite3'", "{root}/data.sqlite3"),
        ("sqlite:////{root}/deep.sqlite3", "{root}/deep.sqlite3"),
        ("sqlite:///with%20blank.sqlite3", "{root}/with blank.sqlite3"),
        ("sqlite:///data.sqlite3?schema=public", "{root}/data.sqlite3"),
    ],
)
def test_a_sqlite_address_names_a_file(tmp_path: Path, url: str, name: str) -> None:
    root = str(tmp_path)
    config, problems = configured(tmp_path, DATABASE_URL=url.format(root=root.lstrip("/")))

    assert config["NAME"] == name.format(root=root)
    assert problems == {}


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite://:memory:", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused_because_two_processes_share_it(tmp_path: Path, url: str) -> None:
    _, problems = configured(tmp_path, DATABASE_URL=url)

    assert "must name a file" in problems["DATABASE_URL"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@db:6543/name", ("db", "6543", "name", "u", "p")),
        ("postgres://u:p@db/name", ("db", "5432", "name", "u", "p")),
        ('"postgresql://u:p@db/name"', ("db", "5432", "name", "u", "p")),
        ("postgresql://u:p%40ss%2Fw%3Aord@db/name?schema=public", ("db", "5432", "name", "u", "p@ss/w:ord")),
        ("postgresql:///name?host=/run/postgresql&user=me", ("/run/postgresql", "5432", "name", "me", "")),
        ("postgresql://u@[::1]:5433/na-me", ("::1", "5433", "na-me", "u", "")),
    ],
)
def test_a_postgresql_address_is_taken_apart(tmp_path: Path, url: str, expected: tuple[str, ...]) -> None:
    config, problems = configured(tmp_path, DATABASE_URL=url)

    assert tuple(config[key] for key in ("HOST", "PORT", "NAME", "USER", "PASSWORD")) == expected
    assert "schema" not in config["OPTIONS"]
    assert problems == {}


@pytest.mark.parametrize(
    "url",
    [
        "mysql://db/name",
        "nonsense",
        "postgresql://db",
        "postgresql:///name",
        "postgresql://u:p@db:port/name",
        "postgresql://u:p#w@db/name",
        "postgresql://u:p@[db/name",
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_showing_it(tmp_path: Path, url: str) -> None:
    _, problems = configured(tmp_path, DATABASE_URL=url)

    assert list(problems) == ["DATABASE_URL"]
    assert "p#w" not in problems["DATABASE_URL"]


@pytest.mark.parametrize(
    "names",
    [("DB_NAME", "DB_USER", "DB_PASS"), ("DB_DATABASE", "DB_USERNAME", "DB_PASSWORD")],
)
def test_the_db_variables_are_read_in_both_families(tmp_path: Path, names: tuple[str, str, str]) -> None:
    values = dict(zip(names, ("jobs", "me", "'p w'"), strict=True))
    config, problems = configured(tmp_path, DB_HOST="db", DB_PORT="5544", **values)

    assert (config["HOST"], config["PORT"]) == ("db", "5544")
    assert (config["NAME"], config["USER"], config["PASSWORD"]) == ("jobs", "me", "p w")
    assert problems == {}


def test_the_db_variables_need_a_name_and_a_port_that_is_one(tmp_path: Path) -> None:
    _, problems = configured(tmp_path, DB_HOST="db", DB_PORT="x")

    assert set(problems) == {"DB_NAME", "DB_PORT"}


def test_database_url_wins_over_the_db_variables(tmp_path: Path) -> None:
    config, _ = configured(tmp_path, DATABASE_URL="postgresql://one/name", DB_HOST="two", DB_NAME="n")

    assert config["HOST"] == "one"


def test_the_pool_is_set_in_code_and_no_connection_age_beside_it(tmp_path: Path) -> None:
    config, _ = configured(
        tmp_path, DATABASE_URL="postgresql://db/n?pool=true", DB_POOL_MIN="1", DB_POOL_MAX="7"
    )

    assert (config["OPTIONS"]["pool"]["min_size"], config["OPTIONS"]["pool"]["max_size"]) == (1, 7)
    assert "CONN_MAX_AGE" not in config


def test_a_pool_smaller_than_its_minimum_is_refused(tmp_path: Path) -> None:
    _, problems = configured(tmp_path, DATABASE_URL="postgresql://db/n", DB_POOL_MIN="9", DB_POOL_MAX="3")

    assert problems == {"DB_POOL_MIN": "must not be above DB_POOL_MAX (3)"}


def test_behind_pgbouncer_nothing_is_asked_that_it_refuses(tmp_path: Path) -> None:
    config, _ = configured(tmp_path, DATABASE_URL="postgresql://db/n", DB_PGBOUNCER="true")

    assert config["DISABLE_SERVER_SIDE_CURSORS"] is True
    assert config["OPTIONS"]["prepare_threshold"] is None
    assert "options" not in config["OPTIONS"]


def test_tls_options_of_the_address_reach_the_driver(tmp_path: Path) -> None:
    config, _ = configured(tmp_path, DATABASE_URL="postgresql://db/n?sslmode=require&connect_timeout=x")

    assert config["OPTIONS"]["sslmode"] == "require"
    assert config["OPTIONS"]["connect_timeout"] == 5
