"""Lists that stay quick over ten million rows: nothing counts a table to its end."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.views.main import IGNORED_PARAMS, ChangeList
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse

from web.admin import shown

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
        self.count_shown = self._say_count()

    def _say_count(self) -> str:
        """How many rows there are: exactly, where they were counted or are kept count of."""
        if not getattr(self.paginator, "is_capped", False):
            return shown.number(self.result_count)
        known = None if self.query else self.count_kept()
        return f"{shown.number(CAP)}+" if known is None else shown.number(known)

    def given_filters(self) -> dict[str, str]:
        """What the address asks for besides page, order and search."""
        return {name: text for name, text in self.params.items() if name not in IGNORED_PARAMS}

    def count_kept(self) -> int | None:
        """How many rows these filters mean, where that is known without counting them."""
        return None

    def prepare(self, rows: list[Any]) -> None:
        """Add what the columns show, in a number of queries that does not grow with the rows."""


class LinkedFilter(admin.SimpleListFilter):
    """A filter that only links set; it is shown, and can be taken off, while it is set."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        value = request.GET.get(self.parameter_name or "")
        return [(value, self.describe(value))] if value else []

    def describe(self, value: str) -> str:
        """The value as people read it."""
        return value[:60]

    def has_output(self) -> bool:
        return bool(self.value())

    def choices(self, changelist: ChangeList) -> Any:
        first, *others = super().choices(changelist)
        yield {**first, "display": "All"}
        yield from others


class AuditedAdmin(admin.ModelAdmin[Any]):
    """A ModelAdmin whose rows the audit knows as `<audited_as>:<key>`; their page leads there."""

    audited_as = ""

    def render_change_form(
        self,
        request: HttpRequest,
        context: Any,
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        if self.audited_as and obj is not None:
            context["audit_subject"] = f"{self.audited_as}:{obj.pk}"
        return super().render_change_form(request, context, add, change, form_url, obj)


class ListAdmin(AuditedAdmin):
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
