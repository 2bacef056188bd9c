"""Users and API keys in the admin, under the same rules as in the API."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.db import models
from django.db.models import QuerySet
from django.forms import CheckboxSelectMultiple, ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from accounts.api_keys import create_key
from accounts.models import ApiToken, User
from jobs import audit
from web.admin.fields import MomentField, MomentWidget
from web.admin.lists import AuditedAdmin
from web.redaction import MASK


class NewUserForm(AdminUserCreationForm[User]):
    class Meta:
        model = User
        fields = ["email", "name"]


class UserForm(UserChangeForm[User]):
    class Meta:
        model = User
        fields = "__all__"


@admin.register(User)
class UserAdmin(AuditedAdmin, DjangoUserAdmin[User]):
    """Only superusers change superusers or make them; everybody else's standing is for admins."""

    audited_as = "user"

    form = UserForm
    add_form = NewUserForm
    ordering = ["email"]
    list_display = ["email", "name", "is_active", "is_staff", "created_at", "last_login"]
    list_filter = ["is_active", "is_staff", "is_superuser", "groups"]
    search_fields = ["email", "name"]
    filter_horizontal = ["user_permissions"]
    readonly_fields = ["last_login", "created_at", "updated_at"]
    fieldsets = [
        (None, {"fields": ["email", "name", "password"]}),
        ("Standing", {"fields": ["is_active", "is_staff", "groups"]}),
        ("Beyond the groups", {"classes": ["collapse"], "fields": ["is_superuser", "user_permissions"]}),
        ("Times", {"fields": ["created_at", "updated_at", "last_login"]}),
    ]
    add_fieldsets = [
        (None, {"fields": ["email", "name", "usable_password", "password1", "password2"]}),
    ]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if db_field.name == "groups":
            return db_field.formfield(
                widget=CheckboxSelectMultiple,
                help_text="viewers look, operators act, admins change. Without a group: as viewers.",
            )
        return super().formfield_for_manytomany(db_field, request, **options)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        fields = list(super().get_readonly_fields(request, obj))
        # Who may change users could else give themselves any right.
        return fields if request.user.is_superuser else [*fields, "is_superuser", "user_permissions"]

    def save_related(self, request: HttpRequest, form: ModelForm[User], formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        changes = {name: _describe(form, name) for name in form.changed_data if "password" not in name}
        audit.write(
            "UPDATED" if change else "CREATED",
            by=_name(request),
            subject=f"user:{form.instance.pk}",
            changes=changes,
        )

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002
        answer = super().user_change_password(request, id, form_url)
        if request.method == "POST" and answer.status_code == 302:
            changes = {"password": {"old": MASK, "new": MASK}}
            audit.write("UPDATED", by=_name(request), subject=f"user:{id}", changes=changes)
        return answer

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        audit.write("DELETED", by=_name(request), subject=f"user:{obj.pk}", changes={"email": obj.email})
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in queryset:
            self.delete_model(request, user)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)


def _name(request: HttpRequest) -> str:
    return cast("User", request.user).email


def _may_touch(request: HttpRequest, user: User | None) -> bool:
    return user is None or not user.is_superuser or request.user.is_superuser


def _describe(form: ModelForm[User], name: str) -> dict[str, Any]:
    return {"old": _words(form.initial.get(name)), "new": _words(form.cleaned_data.get(name))}


def _words(value: Any) -> Any:
    if isinstance(value, list | QuerySet):
        return sorted(str(item) for item in value)
    return value


@admin.register(ApiToken)
class ApiTokenAdmin(AuditedAdmin):
    """Keys are made for oneself, shown once, and revoked by deleting them."""

    audited_as = "key"

    list_display = ["name", "user", "created_at", "last_used_at", "expires_at"]
    list_select_related = ["user"]
    search_fields = ["name", "user__email"]
    ordering = ["-created_at"]
    fields = ["name", "expires_at"]
    formfield_overrides = {models.DateTimeField: {"form_class": MomentField, "widget": MomentWidget}}

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        return super().get_queryset(request).defer("token_hash")

    def has_change_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return False

    def save_model(
        self, request: HttpRequest, obj: ApiToken, form: ModelForm[ApiToken], change: bool
    ) -> None:
        key, text = create_key(cast("User", request.user), name=obj.name, expires_at=obj.expires_at)
        obj.__dict__.update(key.__dict__)
        audit.write("CREATED", by=_name(request), subject=f"key:{key.pk}", changes={"name": obj.name})
        request.new_key = text  # type: ignore[attr-defined]

    def delete_model(self, request: HttpRequest, obj: ApiToken) -> None:
        details = {"name": obj.name, "owner": obj.user.email}
        audit.write("DELETED", by=_name(request), subject=f"key:{obj.pk}", changes=details)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        for key in queryset.select_related("user"):
            self.delete_model(request, key)

    def response_add(
        self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None
    ) -> HttpResponse:
        # Not as a message: those are kept in a cookie until they are shown.
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": "New API key",
            "name": obj.name,
            "key": request.new_key,  # type: ignore[attr-defined]
            "list_url": reverse("admin:accounts_apitoken_changelist"),
        }
        return render(request, "accounts/new_key.html", context)
