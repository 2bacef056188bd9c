"""The executions app: finds the duties of all installed apps at start, and keeps the counting triggers."""

import time
from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.module_loading import autodiscover_modules

# The start of this process, on the monotonic clock.
STARTED = time.monotonic()


class ExecutionsConfig(AppConfig):
    """The ledger and the engine."""

    name = "executions"
    verbose_name = "Executions"

    def ready(self) -> None:
        """Import every installed app's `duties` module, which registers its duties."""
        autodiscover_modules("duties")
        post_migrate.connect(_keep_triggers, sender=self, dispatch_uid="executions.keep_triggers")


def _keep_triggers(*, using: str = "default", **_: Any) -> None:
    from executions.statistics import ensure

    ensure(using)
