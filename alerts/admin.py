"""Alerts: whom to tell, a test, and what was sent."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString

from alerts import addresses, operations
from alerts.models import Alert, AlertType, Delivery
from alerts.rules import MAX_FAILURES, MAX_SECONDS, read_conditions, show_conditions
from jobs.audit import actor_of
from jobs.lookup import NotFound, find_job
from jobs.models import Tag
from web.admin import shown
from web.admin.lists import LinkedFilter, ListAdmin, ReadOnlyAdmin
from web.admin.saving import SavedByVerb
from web.admin.verbs import Verb, VerbsMixin
from web.errors import Conflict

CHANGE = "alerts.change_alert"
# Form fields, by the names of the conditions.
CONDITIONS = {
    "on_failure": "onFailure",
    "consecutive_failures": "consecutiveFailures",
    "on_success": "onSuccess",
    "on_recovery": "onRecovery",
    "on_dead_letter": "onDeadLetter",
    "on_missed": "onMissed",
    "on_late": "onLate",
    "on_long_running": "onLongRunning",
}


class AlertForm(forms.ModelForm):  # type: ignore[type-arg]
    """For one job, for a tag's jobs, or for every job of whoever makes it."""

    owner_id: Any = None

    type = forms.ChoiceField(choices=AlertType.choices)
    endpoint = forms.CharField(
        max_length=addresses.MAX_LENGTH,
        label="Address",
        widget=forms.TextInput(attrs={"class": "vTextField", "spellcheck": "false"}),
        help_text="A URL, or an e-mail address. *** stands for what is stored; leave it to keep it.",
    )
    job_text = forms.CharField(
        required=False,
        label="For the job",
        help_text="An id, a number or a name. Empty: for every job of yours.",
        widget=forms.TextInput(attrs={"class": "vTextField"}),
    )
    tag_text = forms.CharField(required=False, label="Or for the tag", help_text="A name of your tags.")
    on_failure = forms.BooleanField(required=False, initial=True, label="When it fails")
    consecutive_failures = forms.IntegerField(
        min_value=1, max_value=MAX_FAILURES, initial=1, label="… so many times in a row"
    )
    on_success = forms.BooleanField(required=False, label="When it succeeds")
    on_recovery = forms.BooleanField(required=False, label="When it succeeds again")
    on_dead_letter = forms.BooleanField(required=False, label="When a dead letter is made")
    on_missed = forms.BooleanField(required=False, label="When a fire time is missed")
    on_late = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MAX_SECONDS,
        label="When it starts late by (s)",
        help_text="Empty: never.",
    )
    on_long_running = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MAX_SECONDS,
        label="When it runs longer than (s)",
        help_text="Empty: never.",
    )

    class Meta:
        model = Alert
        fields = ["enabled"]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.instance._state.adding:
            return
        alert = self.instance
        self.initial["type"] = alert.type
        self.initial["endpoint"] = addresses.shown(alert.type, alert.endpoint)
        known = show_conditions(read_conditions(alert.conditions))
        self.initial.update({field: known[name] for field, name in CONDITIONS.items()})
        for name in ("job_text", "tag_text"):
            self.fields.pop(name, None)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        data["job"] = data["tag"] = None
        if data.get("job_text"):
            try:
                data["job"] = find_job(data["job_text"])
            except NotFound as error:
                self.add_error("job_text", str(error))
        if data.get("tag_text"):
            data["tag"] = Tag.objects.filter(name=data["tag_text"], user_id=self.owner_id).first()
            if data["tag"] is None:
                self.add_error("tag_text", "You have no tag of this name.")
            elif data["job"]:
                self.add_error("tag_text", "Give a job or a tag, not both.")
        self._check_endpoint(data)
        return data

    def _check_endpoint(self, data: dict[str, Any]) -> None:
        if not (data.get("endpoint") and data.get("type")):
            return
        kept = not self.instance._state.adding and (
            data["endpoint"] == addresses.shown(self.instance.type, self.instance.endpoint)
            and data["type"] == self.instance.type
        )
        try:
            if not kept:
                addresses.prepare(data["type"], data["endpoint"])
        except ValueError as error:
            self.add_error("endpoint", str(error))

    def conditions(self) -> dict[str, Any]:
        """The conditions as the verbs take them."""
        return {name: self.cleaned_data.get(field) for field, name in CONDITIONS.items()}

    def _post_clean(self) -> None:
        """The verb changes the row."""


def _test(alert: Alert, values: dict[str, Any], user: Any) -> None:
    tried = operations.test(alert, by=actor_of(user))
    if not tried.delivered:
        raise Conflict(f"The test did not arrive: {tried.error}")


TEST = Verb(
    name="test",
    label="Send a test",
    done="the test arrived",
    right=CHANGE,
    says="One message goes out now, once, whether the alert is enabled or not.",
    run=_test,
    bulk=False,
)


@admin.register(Alert)
class AlertAdmin(SavedByVerb, VerbsMixin, ListAdmin):
    form = AlertForm
    audited_as = "alert"
    verbs = (TEST,)
    list_display = ["subject", "type", "address", "enabled", "deliveries_link", "created"]
    list_display_links = None
    list_filter = ["type", "enabled"]
    list_select_related = ["job", "tag", "user"]
    ordering = ["-created_at", "id"]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        may = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        if not may:
            return [(None, {"fields": ["subject", "type", "address", "enabled", "conditions_shown"]})]
        where = (
            ["type", "endpoint", "enabled"]
            if obj
            else ["job_text", "tag_text", "type", "endpoint", "enabled"]
        )
        return [(None, {"fields": where}), ("When", {"fields": list(CONDITIONS)})]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        may = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        return [] if may else ["subject", "type", "address", "enabled", "conditions_shown"]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        # The fields of the form itself; the model's own are not offered.
        options["fields"] = ["enabled"]
        form = super().get_form(request, obj, change=change, **options)
        return type("AlertForm", (form,), {"owner_id": request.user.pk})

    @admin.display(description="for")
    def subject(self, alert: Alert) -> SafeString:
        if alert.job:
            words = shown.name(f"job {alert.job.name}")
        elif alert.tag:
            words = shown.name(f"tag {alert.tag.name}")
        else:
            words = shown.name(f"every job of {alert.user.email if alert.user else 'nobody'}")
        return shown.link(reverse("admin:alerts_alert_change", args=(alert.pk,)), words)

    @admin.display(description="address")
    def address(self, alert: Alert) -> SafeString:
        return shown.name(addresses.shown(alert.type, alert.endpoint), 120)

    @admin.display(description="conditions")
    def conditions_shown(self, alert: Alert) -> SafeString | str:
        return shown.code(show_conditions(read_conditions(alert.conditions)))

    @admin.display(description="sent")
    def deliveries_link(self, alert: Alert) -> SafeString:
        return shown.link(f"{reverse('admin:alerts_delivery_changelist')}?alert={alert.pk}", "deliveries")

    @admin.display(description="made", ordering="created_at")
    def created(self, alert: Alert) -> SafeString | str:
        return shown.moment(alert.created_at)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        found = self.get_object(request, object_id)
        more = {"row_verbs": self.buttons(request, found) if found else [], **(extra_context or {})}
        return super().change_view(request, object_id, form_url, more)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        data, actor = form.cleaned_data, actor_of(request.user)
        if change:
            values = {"type": data["type"], "endpoint": data["endpoint"], "enabled": data["enabled"]}
            saved = operations.update(obj, {**values, "conditions": form.conditions()}, by=actor)
        else:
            saved = operations.create(
                by=actor,
                kind=data["type"],
                endpoint=data["endpoint"],
                job=data["job"],
                tag=data["tag"],
                conditions=form.conditions(),
                enabled=data["enabled"],
            )
        obj.__dict__.update(saved.__dict__)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        operations.delete(obj, by=actor_of(request.user))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        return [str(alert) for alert in objs], {"alerts": len(objs)}, set(), []


class AlertFilter(LinkedFilter):
    title = "alert"
    parameter_name = "alert"

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        try:
            return queryset.filter(alert_id=UUID(self.value() or "")) if self.value() else queryset
        except ValueError:
            return queryset.none()


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = ["created", "event", "condition", "tries", "said", "run"]
    list_display_links = ["created"]
    list_filter = ["status", "event", AlertFilter]
    ordering = ["-created_at", "id"]
    fields = ["created", "event", "condition", "tries", "next_try_at", "said", "run"]

    @admin.display(description="made", ordering="created_at")
    def created(self, row: Delivery) -> SafeString | str:
        return shown.moment(row.created_at)

    @admin.display(description="state")
    def condition(self, row: Delivery) -> SafeString:
        return shown.badge(row.status)

    @admin.display(description="error")
    def said(self, row: Delivery) -> SafeString | str:
        return shown.name(row.error, 200) if row.error else shown.NOTHING

    @admin.display(description="execution")
    def run(self, row: Delivery) -> SafeString | str:
        if row.execution_id is None:
            return shown.NOTHING
        return shown.link(reverse("admin:executions_execution_change", args=(row.execution_id,)), "execution")
