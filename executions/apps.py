"""The executions app: finds the duties of all installed apps at start."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class ExecutionsConfig(AppConfig):
    """The ledger and the engine."""

    name = "executions"
    verbose_name = "Executions"

    def ready(self) -> None:
        """Import every installed app's `duties` module, which registers its duties."""
        autodiscover_modules("duties")
