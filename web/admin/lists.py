"""Lists that stay quick over ten million rows: nothing counts a table to its end."""

from __future__ import annotations

from functools import cached_property
from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.http import HttpRequest

CAP = 10_000


class CappedPaginator(Paginator[Any]):
    """Counts up to CAP rows; `is_capped` says that there are more, which filters narrow down."""

    @cached_property
    def count(self) -> int:
        # At most CAP rows are looked at, whatever the table holds.
        rows: Any = self.object_list
        found: int = rows.order_by()[: CAP + 1].count() if hasattr(rows, "query") else len(rows)
        self.is_capped = found > CAP
        return min(found, CAP)

    is_capped = False


class RowList(ChangeList):
    """A page of rows; each knows its request, and `prepare` adds what the whole page needs at once."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.title = str(self.opts.verbose_name_plural).capitalize()

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: list[Any] = list(self.result_list)
        for row in rows:
            row.request = request
        self.prepare(rows)
        self.result_list = cast("Any", rows)

    def prepare(self, rows: list[Any]) -> None:
        """Add what the columns show, in a number of queries that does not grow with the rows."""


class ListAdmin(admin.ModelAdmin[Any]):
    """What every list of ours shares."""

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # each would count the table
    list_per_page = 50
    list_max_show_all = 50
    actions_on_top = True

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return RowList

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        # Rows go by verbs, which write the audit; Django's own deletion knows none of them.
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions


class ReadOnlyAdmin(ListAdmin):
    """A list and a detail that nobody changes here."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
