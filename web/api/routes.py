"""How an app says once where its views answer, and how they come to answer at two addresses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.urls import URLPattern, URLResolver, include, path, register_converter

from web.api.fields import NOT_A_UUID, read_uuid

CANONICAL = "/api/v1"


@dataclass(frozen=True, kw_only=True)
class BadId:
    """What stood in the address where an id belongs; the view answers 400 for it."""

    text: str
    reason: str = NOT_A_UUID


class IdConverter:
    """`<id:…>`: a UUID. Other text still finds the route, to be called a bad id and not a bad route."""

    regex = "[^/]+"

    def to_python(self, value: str) -> UUID | BadId:
        return read_uuid(value) or BadId(text=value)

    def to_url(self, value: object) -> str:
        return str(value)


register_converter(IdConverter, "id")


def route(pattern: str, view: Any, **actions: str) -> URLPattern:
    """One address: `route("jobs/<id:id>", JobViewSet, get="retrieve", put="update")`.

    `actions` maps methods to the viewset's actions; without any the view is a plain one.
    """
    found: URLPattern = path(pattern, view.as_view(actions) if actions else view.as_view())
    return found


def serve(*modules: str) -> list[URLResolver]:
    """The routes of these `urls` modules at the canonical address and bare."""
    return [
        path(f"{CANONICAL[1:]}/", include([path("", include(module)) for module in modules])),
        path("", include([path("", include(module)) for module in modules])),
    ]


def link(address: str) -> str:
    """The canonical address of a bare one, for Location headers: `/jobs/1` as `/api/v1/jobs/1`."""
    return f"{CANONICAL}{address}"
