from django.apps import AppConfig


class WebConfig(AppConfig):
    """What every face shares: JSON conventions, errors, envelopes, request ids."""

    name = "web"

    def ready(self) -> None:
        """Tell what was asked for and cannot be had."""
        from web import tracing

        tracing.warn_if_missing()
