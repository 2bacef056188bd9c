"""The reports app."""

from django.apps import AppConfig


class ReportsConfig(AppConfig):
    """Names the app."""

    name = "reports"
