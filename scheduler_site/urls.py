"""Where everything answers: the admin, and each app's API at /api/v1 and bare."""

from __future__ import annotations

from importlib.util import find_spec

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from web.api.routes import serve

APPS = ("accounts", "jobs", "executions", "reports", "alerts")


def _has(app: str, module: str = "urls") -> bool:
    return find_spec(f"{app}.api") is not None and find_spec(f"{app}.api.{module}") is not None


urlpatterns: list[URLPattern | URLResolver] = [
    path(settings.ADMIN_PATH, admin.site.urls),
    # The addresses that exist once come first: the documentation, and what apps write out themselves.
    path("", include("web.api.urls")),
    *(path("", include(f"{app}.api.single_urls")) for app in APPS if _has(app, "single_urls")),
    *serve(*(f"{app}.api.urls" for app in APPS if _has(app))),
]

handler400 = "web.api.answers.answer_bad_request"
handler403 = "web.api.answers.answer_forbidden"
handler404 = "web.api.answers.answer_not_found"
handler500 = "web.api.answers.answer_server_error"
