"""Forms that are saved by a verb: what it refuses is shown, and nothing is half done."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from web.admin.verbs import explain
from web.errors import Refusal


class SavedByVerb(admin.ModelAdmin[Any]):
    """A ModelAdmin whose `save_model` and `delete_model` call verbs that may refuse."""

    def changeform_view(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **options)
        except Refusal as refusal:
            messages.error(request, explain(refusal))
            return HttpResponseRedirect(request.get_full_path())

    def delete_view(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        try:
            return super().delete_view(request, *args, **options)
        except Refusal as refusal:
            messages.error(request, explain(refusal))
            return HttpResponseRedirect(request.get_full_path())
