"""Lists in pages: the envelope, the bare array, and offsets that stay cheap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django.db.models import QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from web.api.query import QueryReader

MAX_LIMIT = 100
MAX_PAGE = 1_000_000_000
# Below this offset one query is cheaper than two.
DEEP = 200


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a caller asks for: the page's number from 1, its size, and whether in an envelope."""

    number: int
    limit: int
    envelope: bool

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.limit


def read_page(query: QueryReader, *, limit: int = 10, envelope: bool = True) -> Page:
    """The page of `?page=&limit=&envelope=`; `limit` and `envelope` are the defaults of this list."""
    return Page(
        number=query.whole("page", 1, low=1, high=MAX_PAGE),
        limit=query.whole("limit", limit, low=1, high=MAX_LIMIT),
        envelope=query.flag("envelope", envelope),
    )


def fetch_page(rows: QuerySet[Any], page: Page, *, total: int) -> list[Any]:
    """The rows of the page, in the queryset's order, which must be total (end it with the key).

    A deep page is found by keys alone, so that skipped rows cost an index entry each and not a row, and
    from the end when that is nearer.
    """
    if page.offset >= total:
        return []
    if page.offset < DEEP:
        return list(rows[page.offset : page.offset + page.limit])
    return _fetch_by_key(rows, _find_keys(rows, page, total=total))


def wrap_page(items_key: str, items: Sequence[Any], page: Page, *, total: int) -> dict[str, Any]:
    """The envelope around one page of items."""
    pagination = {
        "page": page.number,
        "limit": page.limit,
        "total": total,
        "totalPages": -(-total // page.limit),
    }
    return {
        items_key: items,
        "pagination": pagination,
        "total": total,
        "page": page.number,
        "limit": page.limit,
    }


def _find_keys(rows: QuerySet[Any], page: Page, *, total: int) -> list[Any]:
    keys = rows.select_related(None).prefetch_related(None).values_list("pk", flat=True)
    last = min(page.offset + page.limit, total)
    if page.offset <= total // 2:
        return list(keys[page.offset : last])
    return list(keys.reverse()[total - last : total - page.offset])[::-1]


def _fetch_by_key(rows: QuerySet[Any], keys: list[Any]) -> list[Any]:
    # The filters stay on: a row that left the list between the two queries is not shown.
    found = {row.pk: row for row in rows.order_by().filter(pk__in=keys)}
    return [found[key] for key in keys if key in found]


class EnvelopePagination(BasePagination):
    """Pages as the view wants them: `items_key`, `page_limit`, `page_envelope`, `page_extra()`."""

    page: ClassVar[Page]

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        with QueryReader(request.query_params) as query:
            page = read_page(query, limit=_option(view, "page_limit", 10), envelope=_envelope(view))
        self.view, self.request_page = view, page
        count = getattr(view, "count_rows", None)
        self.total: int = count(queryset) if count else queryset.count()
        return fetch_page(queryset, page, total=self.total)

    def get_paginated_response(self, data: Any) -> Response:
        if not self.request_page.envelope:
            return Response(data, headers={"X-Total-Count": str(self.total)})
        extra: dict[str, Any] = getattr(self.view, "page_extra", dict)()
        return Response(extra | wrap_page(self.view.items_key, data, self.request_page, total=self.total))

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        # The documenter makes a paginator of its own and does not hand it the view; `DocumentedSchema`
        # sets the key.
        return envelope_schema(getattr(self, "items_key", "items"), schema)

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        limit = _option(view, "page_limit", 10)
        return [
            _parameter("page", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": 1}),
            _parameter("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": limit}),
            _parameter(
                "envelope",
                {"type": "boolean", "default": _envelope(view)},
                "false answers the bare array with the number of all rows in X-Total-Count",
            ),
        ]


def envelope_schema(items_key: str, items: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI schema of an envelope; `items` is the schema of the array inside."""
    number = {"type": "integer", "example": 1}
    pagination = {
        "type": "object",
        "required": ["page", "limit", "total", "totalPages"],
        "properties": dict.fromkeys(("page", "limit", "total", "totalPages"), number),
    }
    return {
        "type": "object",
        "required": [items_key, "pagination", "total", "page", "limit"],
        "properties": {
            items_key: items,
            "pagination": pagination,
            "total": number,
            "page": number,
            "limit": number,
        },
    }


def _parameter(name: str, schema: dict[str, Any], description: str = "") -> dict[str, Any]:
    parameter = {"name": name, "in": "query", "required": False, "schema": schema}
    return parameter | ({"description": description} if description else {})


def _option(view: Any, name: str, default: int) -> int:
    return int(getattr(view, name, default))


def _envelope(view: Any) -> bool:
    return bool(getattr(view, "page_envelope", True))
