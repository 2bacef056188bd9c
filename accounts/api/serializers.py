"""Users and API keys on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib.auth.models import Group
from django.utils import timezone
from rest_framework import serializers

from accounts.models import ApiToken, User, UserManager
from web.api.fields import FlagField, IdField, MomentField, TextField
from web.api.serializers import StrictModelSerializer, StrictSerializer

PASSWORD: dict[str, Any] = {"min_length": 8, "max_length": 128, "trim_whitespace": False, "write_only": True}


class EmailField(serializers.EmailField):
    """An e-mail address, kept in lower case."""

    default_error_messages = {"invalid": "Must be an e-mail address"}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return UserManager.normalize_email(super().to_internal_value(data))


class UserSerializer(StrictSerializer):
    """A user, never with the password."""

    id = IdField(read_only=True)
    email = EmailField(read_only=True)
    name = TextField(max_length=255)
    is_active = FlagField()
    is_staff = FlagField()
    groups = serializers.ListField(child=TextField(max_length=150), max_length=100)
    created_at = MomentField(read_only=True)
    updated_at = MomentField(read_only=True)

    def validate_groups(self, names: list[str]) -> list[Group]:
        found = {group.name: group for group in Group.objects.filter(name__in=names)}
        unknown = {str(number): ["Is no group"] for number, name in enumerate(names) if name not in found}
        if unknown:
            raise serializers.ValidationError(unknown)
        return list(found.values())

    def to_representation(self, instance: User) -> dict[str, Any]:
        return super().to_representation(_Shown(instance))


class _Shown:
    """A user whose groups are names, sorted from what may have been prefetched."""

    def __init__(self, user: User) -> None:
        self._user = user

    def __getattr__(self, name: str) -> Any:
        return getattr(self._user, name)

    @property
    def groups(self) -> list[str]:
        return sorted(group.name for group in self._user.groups.all())


class RegisterSerializer(StrictSerializer):
    email = EmailField(max_length=254)
    password = TextField(**PASSWORD)
    name = TextField(max_length=255)


class LoginSerializer(StrictSerializer):
    """`username` is the e-mail under the name that other clients use."""

    email = TextField(max_length=254, required=False)
    username = TextField(max_length=254, required=False)
    password = TextField(max_length=128, trim_whitespace=False, write_only=True)

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        # Either name will do; without both it is the first that is missing, beside whatever else is.
        given = getattr(self, "initial_data", None)
        if isinstance(given, Mapping) and not {"email", "username"} & set(given):
            fields["email"].required = True
        return fields

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = {UserManager.normalize_email(attrs[name]) for name in ("email", "username") if name in attrs}
        if len(given) > 1:
            raise serializers.ValidationError({"username": "Must be the same as email"})
        return {"email": given.pop(), "password": attrs["password"]}


class MeSerializer(StrictSerializer):
    name = TextField(max_length=255, required=False)
    password = TextField(required=False, **PASSWORD)
    current_password = TextField(required=False, max_length=128, trim_whitespace=False, write_only=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "password" in attrs and "current_password" not in attrs:
            raise serializers.ValidationError({"currentPassword": "Required"})
        if "current_password" in attrs and "password" not in attrs:
            raise serializers.ValidationError({"password": "Required"})
        return attrs


class ApiKeySerializer(StrictModelSerializer):
    """A key without its text."""

    id = IdField(read_only=True)
    name = TextField(max_length=100)
    expires_at = MomentField(required=False, allow_null=True)
    last_used_at = MomentField(read_only=True, allow_null=True)
    created_at = MomentField(read_only=True)

    class Meta:
        model = ApiToken
        fields = ["id", "name", "expires_at", "last_used_at", "created_at"]

    def validate_expires_at(self, moment: datetime | None) -> datetime | None:
        if moment is not None and moment <= timezone.now():
            raise serializers.ValidationError("Must be in the future")
        return moment


class NewApiKeySerializer(ApiKeySerializer):
    """A key with its text, which is shown this once."""

    token = serializers.CharField(read_only=True)

    class Meta(ApiKeySerializer.Meta):
        fields = [*ApiKeySerializer.Meta.fields, "token"]


# Answers: C2's names, which are not camelCase.
class RegisteredSerializer(serializers.Serializer[Any]):
    user = UserSerializer()
    access_token = serializers.CharField()


class LoggedInSerializer(RegisteredSerializer):
    token_type = serializers.CharField(default="Bearer")
    expires_in = serializers.IntegerField(help_text="Seconds")
