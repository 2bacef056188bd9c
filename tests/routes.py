"""Every route of the URL configuration, as the tests of the API want it: found, not written down.

A route is one method at one address. Most views answer at two addresses, the canonical one and the bare
one; they are one route here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

from web.api.routes import CANONICAL
from web.api.serializers import camelize
from web.api.views import ApiView

METHODS = ("get", "post", "put", "patch", "delete")
_PARAMETER = re.compile(r"<(?:(\w+):)?(\w+)>")


@dataclass(frozen=True, kw_only=True, order=True)
class Route:
    """`GET /api/v1/jobs/{id}`, and the view behind it."""

    path: str
    method: str
    view: Any = None

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"

    @property
    def bare(self) -> str:
        """The address without the canonical beginning."""
        return self.path.removeprefix(CANONICAL)


def find_routes() -> list[Route]:
    """The API's routes, each once, at its canonical address where it has one."""
    found = {}
    for path, view, methods in _walk(get_resolver().url_patterns, "/"):
        for method in methods:
            route = Route(path=path, method=method, view=view)
            found[str(route)] = route
    return [
        route for route in found.values() if route.path.startswith(CANONICAL) or not _is_double(route, found)
    ]


def _is_double(route: Route, found: dict[str, Route]) -> bool:
    canonical = found.get(str(Route(path=f"{CANONICAL}{route.path}", method=route.method)))
    return canonical is not None and canonical.view is route.view


def _walk(patterns: list[Any], before: str) -> Iterator[tuple[str, Any, list[str]]]:
    for pattern in patterns:
        path = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            view = getattr(pattern.callback, "cls", None) or getattr(pattern.callback, "view_class", None)
            if view is not None and issubclass(view, ApiView):
                template = _PARAMETER.sub(lambda match: f"{{{camelize(match[2])}}}", path)
                yield template, view, _methods(pattern.callback, view)


def _methods(callback: Any, view: type[ApiView]) -> list[str]:
    actions = getattr(callback, "actions", None)
    return [method for method in METHODS if (method in actions if actions else hasattr(view, method))]
