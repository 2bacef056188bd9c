"""Tags: labels that may carry limits for all their jobs together."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString

from executions import operations
from jobs import definitions
from jobs.admin.pages import quote
from jobs.audit import actor_of
from jobs.models import Tag
from web.admin import shown
from web.admin.lists import ListAdmin
from web.admin.saving import SavedByVerb


class TagForm(forms.ModelForm):  # type: ignore[type-arg]
    """A tag; two of one owner cannot have the same name."""

    owner_id: Any = None  # of a new one

    max_concurrent = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=10_000,
        label="Runs at once",
        help_text="Of all its jobs together. Empty: no limit.",
    )
    rate_limit_per_minute = forms.IntegerField(
        required=False, min_value=1, max_value=6000, label="Starts per minute", help_text="Empty: no limit."
    )

    class Meta:
        model = Tag
        fields = ["name", "description", "max_concurrent", "rate_limit_per_minute"]
        widgets = {"description": forms.Textarea(attrs={"rows": 2, "class": "vLargeTextField"})}

    def clean_name(self) -> str:
        try:
            return definitions.read_tags([self.cleaned_data["name"]])[0]
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        owner = self.owner_id if self.instance._state.adding else self.instance.user_id
        same = Tag.objects.filter(name=data.get("name", ""), user_id=owner).exclude(pk=self.instance.pk)
        if same.exists():
            self.add_error("name", "There is a tag of this name already.")
        return data

    def _post_clean(self) -> None:
        """The verb changes the row."""


@admin.register(Tag)
class TagAdmin(SavedByVerb, ListAdmin):
    form = TagForm
    audited_as = "tag"
    list_display = ["label", "owner", "jobs_link", "max_concurrent", "rate_limit_per_minute"]
    list_display_links = None
    list_select_related = ["user"]
    search_fields = ["name"]
    ordering = ["name", "id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        counted: QuerySet[Any] = rows.annotate(job_count=Count("job_tags"))
        return counted

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        form = super().get_form(request, obj, change=change, **options)
        return type("TagForm", (form,), {"owner_id": request.user.pk})

    @admin.display(description="tag", ordering="name")
    def label(self, tag: Tag) -> SafeString:
        return shown.link(reverse("admin:jobs_tag_change", args=(tag.pk,)), shown.name(tag.name))

    @admin.display(description="owner", ordering="user__email")
    def owner(self, tag: Tag) -> str:
        return tag.user.email if tag.user else "nobody"

    @admin.display(description="jobs")
    def jobs_link(self, tag: Any) -> SafeString:
        return shown.link(f"{reverse('admin:jobs_job_changelist')}?tag={quote(tag.name)}", tag.job_count)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        values = {name: form.cleaned_data[name] for name in form._meta.fields}
        values["description"] = values["description"] or None
        actor = actor_of(request.user)
        saved = (
            operations.change_tag(obj, values, by=actor)
            if change
            else operations.create_tag(values, by=actor)
        )
        obj.__dict__.update(saved.__dict__)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        operations.delete_tag(obj, by=actor_of(request.user))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        # The jobs stay; only how many lose the tag is told.
        return (
            [f"{tag.name} (of {tag.job_tags.count()} jobs)" for tag in objs],
            {"tags": len(objs)},
            set(),
            [],
        )
