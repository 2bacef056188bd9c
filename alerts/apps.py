"""The alerts app."""

from django.apps import AppConfig


class AlertsConfig(AppConfig):
    """Alert rules and deliveries."""

    name = "alerts"
    verbose_name = "Alerts"
