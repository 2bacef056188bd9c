"""The jobs app: finds the handlers of all installed apps at start."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class JobsConfig(AppConfig):
    """Jobs, schedules and the handler registry."""

    name = "jobs"
    verbose_name = "Jobs"

    def ready(self) -> None:
        """Import every installed app's `handlers` module, which registers its handlers."""
        autodiscover_modules("handlers")
