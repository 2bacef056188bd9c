from django.apps import AppConfig


class WebConfig(AppConfig):
    """What every face shares: JSON conventions, errors, envelopes, request ids."""

    name = "web"
