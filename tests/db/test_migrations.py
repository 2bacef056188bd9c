"""The migrations say what the models say, and the schema they make is the one the tests run on."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

pytestmark = pytest.mark.django_db

APPS = ("accounts", "jobs", "executions", "reports", "alerts")


def test_no_model_has_changed_without_a_migration() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)  # raises SystemExit where one has


@pytest.mark.parametrize("app", APPS)
def test_each_app_has_one_line_of_migrations(app: str) -> None:
    loader = MigrationLoader(connection)

    assert len(loader.graph.leaf_nodes(app)) == 1
