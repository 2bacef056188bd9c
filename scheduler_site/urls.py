"""Where everything answers: the admin, and each app's API at /api/v1 and bare."""

from __future__ import annotations

from importlib.util import find_spec

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

APPS = ("accounts", "jobs", "executions", "reports", "alerts")


def _api() -> list[URLPattern | URLResolver]:
    return [path("", include(f"{app}.api.urls")) for app in APPS if _has(app)]


def _has(app: str) -> bool:
    return find_spec(f"{app}.api") is not None and find_spec(f"{app}.api.urls") is not None


urlpatterns: list[URLPattern | URLResolver] = [
    path(settings.ADMIN_PATH, admin.site.urls),
    path("api/v1/", include(_api())),
    path("", include(_api())),
]
