"""The product's settings, with the handlers of the measurements beside its own."""

from scheduler_site.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "bench"]  # noqa: F405
