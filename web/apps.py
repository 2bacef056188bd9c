from typing import Any

import django_stubs_ext
from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate, pre_migrate

# Lets classes name their model, `ModelAdmin[Job]`, where Django itself has no such notation. Here, before the
# first model or admin is read, and not in the settings, which a health check reads without any app.
django_stubs_ext.monkeypatch()


class WebConfig(AppConfig):
    """What every face shares: JSON conventions, errors, envelopes, request ids."""

    name = "web"

    def ready(self) -> None:
        """Tell what was asked for and cannot be had, and give migrations the time they need."""
        from web import tracing

        tracing.warn_if_missing()
        # Django sends these for each app that has models, which this one has not.
        pre_migrate.connect(_be_patient, dispatch_uid="web.be_patient")
        post_migrate.connect(_be_strict_again, dispatch_uid="web.be_strict_again")


def _be_patient(using: str, **details: Any) -> None:
    """A migration thinks between its statements, on a busy host for longer than any transaction may idle."""
    _execute(using, "SET idle_in_transaction_session_timeout = 0")


def _be_strict_again(using: str, **details: Any) -> None:
    _execute(using, "RESET idle_in_transaction_session_timeout")


def _execute(using: str, statement: str) -> None:
    connection = connections[using]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(statement)
