"""Verbs as buttons, pages and bulk actions: POST, a token against forgery, a right, and words before it.

A verb of one row answers at `<row>/verb/<name>/`: GET shows what will happen and asks for the details, POST
does it (a button in a row posts nothing more, so the defaults hold). The same verb for many rows is an
action of the list with a confirmation page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString

from web.admin import shown
from web.errors import Invalid, Refusal

MOST = 1000
LISTED = 20
CONFIRMED = "confirmed"


class NoDetails(forms.Form):
    """A verb that asks nothing."""


@dataclass(frozen=True, kw_only=True)
class Verb:
    """Something that can be done to a row.

    `run(row, values, user)` does it and answers the page to go on with, or None; it raises a Refusal.
    `applies` says for which rows a button makes sense; `says` is the sentence before the confirmation.
    """

    name: str
    label: str
    done: str
    right: str
    says: str
    run: Callable[[Any, dict[str, Any], Any], str | None]
    form: type[forms.Form] = NoDetails
    applies: Callable[[Any], bool] = lambda row: True
    bulk: bool = True
    single: bool = True
    quick: bool = True
    danger: bool = False
    run_many: Callable[[QuerySet[Any], dict[str, Any], HttpRequest], str] | None = None


class VerbsMixin(admin.ModelAdmin[Any]):
    """A ModelAdmin whose rows have verbs."""

    verbs: Sequence[Verb] = ()

    def get_urls(self) -> list[URLPattern]:
        info = (self.opts.app_label, self.opts.model_name)
        own = path(
            "<path:object_id>/verb/<slug:verb>/",
            self.admin_site.admin_view(self.verb_view),
            name="{}_{}_verb".format(*info),
        )
        return [own, *super().get_urls()]

    def verb_url(self, row: Any, verb: Verb) -> str:
        """Where the verb of this row answers."""
        return self._address("verb", row.pk, verb.name)

    def name_of(self, row: Any) -> str:
        """What the row is called in buttons, confirmations and messages."""
        return str(row)

    def may(self, request: HttpRequest, verb: Verb) -> bool:
        """Whether this person has the right that the verb needs."""
        return bool(request.user.has_perm(verb.right))

    def verbs_of(self, request: HttpRequest, row: Any) -> list[Verb]:
        """The verbs that make sense for this row and this person."""
        return [verb for verb in self.verbs if verb.single and verb.applies(row) and self.may(request, verb)]

    def buttons(self, request: HttpRequest, row: Any, *names: str) -> list[dict[str, Any]]:
        """The verbs of a row as a template draws them; with names only those."""
        return [
            {"verb": verb, "url": self.verb_url(row, verb)}
            for verb in self.verbs_of(request, row)
            if not names or verb.name in names
        ]

    def row_buttons(self, request: HttpRequest, row: Any, *names: str) -> SafeString | str:
        """Buttons that post at once, for a cell of the list."""
        parts: SafeString | str = ""
        for entry in self.buttons(request, row, *names):
            parts = format_html(
                '{}<button type="submit" form="row-form" formaction="{}" class="row-button" '
                'aria-label="{} {}">{}</button>',
                parts,
                entry["url"],
                entry["verb"].label,
                self.name_of(row)[:80],
                entry["verb"].label,
            )
        return format_html('<span class="row-buttons">{}</span>', parts) if parts else ""

    # One row -------------------------------------------------------------------------------------

    def verb_view(self, request: HttpRequest, object_id: str, verb: str) -> HttpResponse:
        """Show or do a verb of one row."""
        chosen = next((each for each in self.verbs if each.name == verb and each.single), None)
        row = self.get_object(request, unquote(object_id)) if chosen else None
        if chosen is None or row is None:
            raise Http404
        if not self.may(request, chosen):
            raise PermissionDenied
        if request.method not in ("GET", "POST"):
            return HttpResponseNotAllowed(("GET", "POST"))
        posted = request.method == "POST"
        form = self.make_form(chosen, request, row=row, data=request.POST if posted else None)
        if posted and form.is_valid():
            try:
                where = chosen.run(row, form.cleaned_data, request.user)
            except Refusal as refusal:
                if not _blame(form, refusal) or CONFIRMED not in request.POST:
                    messages.error(request, explain(refusal))
                    return HttpResponseRedirect(self.after(request, row))
            else:
                messages.success(request, format_html("{}: {}", shown.name(self.name_of(row)), chosen.done))
                return HttpResponseRedirect(where or self.after(request, row))
        return self._ask(request, chosen, form, [row], count=1, row=row)

    def make_form(self, verb: Verb, request: HttpRequest, *, row: Any = None, data: Any = None) -> forms.Form:
        """The form for the verb's details; a subclass may give it values of the row."""
        return verb.form(data)

    def after(self, request: HttpRequest, row: Any) -> str:
        """Where to go on: where the person came from, as far as that is a page of ours."""
        came_from = request.POST.get("next") or request.headers.get("referer", "")
        is_ours = url_has_allowed_host_and_scheme(
            came_from, {request.get_host()}, require_https=request.is_secure()
        )
        if came_from and is_ours and "/verb/" not in came_from:
            return came_from
        return self._address("change", row.pk)

    def _address(self, page: str, *key: Any) -> str:
        names = (self.admin_site.name, self.opts.app_label, self.opts.model_name, page)
        return reverse("{}:{}_{}_{}".format(*names), args=key)

    # Many rows -----------------------------------------------------------------------------------

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions: dict[str, Any] = super().get_actions(request)
        for verb in self.verbs:
            if verb.bulk and self.may(request, verb):
                actions[verb.name] = (_as_action(verb), verb.name, f"{verb.label} …")
        return actions

    def do_to_many(self, request: HttpRequest, rows: QuerySet[Any], verb: Verb) -> HttpResponse | None:
        """Confirm, then do the verb to each row; what was refused is told with its reason."""
        if not self.may(request, verb):
            raise PermissionDenied
        confirmed = CONFIRMED in request.POST
        form = self.make_form(verb, request, data=request.POST if confirmed else None)
        limit = MOST if verb.run_many is None else None
        count = rows.order_by()[: MOST + 1].count() if limit else rows.order_by().count()
        if limit and count > limit:
            messages.error(request, f"At most {limit} at once: narrow the list by a filter first.")
            return None
        if not (confirmed and form.is_valid()):
            return self._ask(request, verb, form, rows[:LISTED], count=count)
        if verb.run_many is not None:
            try:
                messages.success(request, verb.run_many(rows, form.cleaned_data, request))
            except Refusal as refusal:
                messages.error(request, explain(refusal))
            return None
        self._each(request, rows, verb, form.cleaned_data)
        return None

    def _each(self, request: HttpRequest, rows: Iterable[Any], verb: Verb, values: dict[str, Any]) -> None:
        done, refused = 0, []
        for row in rows:
            try:
                verb.run(row, values, request.user)
                done += 1
            except Refusal as refusal:
                refused.append(f"{self.name_of(row)[:80]}: {explain(refusal)}")
        if done:
            messages.success(request, f"{done} {self._noun(done)}: {verb.done}.")
        if refused:
            more = f" (and {len(refused) - 3} more)" if len(refused) > 3 else ""
            messages.warning(
                request, f"{len(refused)} {self._noun(len(refused))} left as they were. "
                + "; ".join(refused[:3]) + more
            )  # fmt: skip

    def _noun(self, count: int) -> str:
        return str(self.opts.verbose_name if count == 1 else self.opts.verbose_name_plural)

    def _ask(
        self,
        request: HttpRequest,
        verb: Verb,
        form: forms.Form,
        rows: Iterable[Any],
        *,
        count: int,
        row: Any = None,
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": verb.label,
            "opts": self.opts,
            "verb": verb,
            "form": form,
            "rows": [shown.name(self.name_of(each)) for each in rows],
            "count": count,
            "noun": self._noun(count),
            "row": row,
            "row_name": shown.name(self.name_of(row), 60) if row is not None else "",
            "row_url": self._address("change", row.pk) if row is not None else "",
            "list_url": self._address("changelist"),
            "many": row is None,
            "confirmed_name": CONFIRMED,
            "checkbox_name": ACTION_CHECKBOX_NAME,
            "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "select_across": request.POST.get("select_across", "0"),
            "back": self._back(request, row),
            "media": self.media + form.media,
        }
        return TemplateResponse(request, "web/admin/confirm.html", context)

    def _back(self, request: HttpRequest, row: Any) -> str:
        return request.get_full_path() if row is None else self.after(request, row)


def _as_action(verb: Verb) -> Callable[..., HttpResponse | None]:
    def action(model_admin: VerbsMixin, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
        return model_admin.do_to_many(request, rows, verb)

    return action


def explain(refusal: Refusal) -> str:
    """Why something was not done, in one line."""
    if isinstance(refusal, Invalid):
        return "; ".join(f"{problem.field}: {problem.message}" for problem in refusal.problems)
    return refusal.message


def _blame(form: forms.Form, refusal: Refusal) -> bool:
    """Put the problems of a refusal beside the fields they are about; whether it had any."""
    if not isinstance(refusal, Invalid):
        return False
    for problem in refusal.problems:
        field = problem.field if problem.field in form.fields else None
        form.add_error(field, problem.message)
    return True
