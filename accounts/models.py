"""Who may ask: users, their API keys, and what is remembered about single requests of theirs."""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from web.columns import DatabaseNow, RandomUUID

# Written at a login, the second to hash an old password anew; neither is a change to the user.
NO_CHANGE = frozenset({"last_login", "password"})


class UserManager(BaseUserManager["User"]):
    """Creates users; e-mail addresses are kept in lower case."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = User(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email=self.normalize_email(username))

    @classmethod
    def normalize_email(cls, email: str | None) -> str:
        return (email or "").strip().lower()


class User(AbstractBaseUser, PermissionsMixin):
    """A person or a service; signs in with the e-mail address."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, db_default=RandomUUID(), editable=False)
    email = models.EmailField("e-mail", max_length=254, unique=True)
    name = models.CharField(max_length=255, blank=True, default="", db_default="")
    is_active = models.BooleanField(
        "active", default=True, db_default=True, help_text="Off: signed out everywhere at once."
    )
    is_staff = models.BooleanField(
        "staff", default=False, db_default=False, help_text="Sees everything; changes what the groups allow."
    )
    is_superuser = models.BooleanField("superuser", default=False, db_default=False)
    password_changed_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)
    updated_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        db_table = "users"
        constraints = [
            models.CheckConstraint(condition=models.Q(email=Lower("email")), name="users_email_lower"),
        ]
        indexes = [models.Index(fields=["-created_at", "id"], name="users_created")]

    def __str__(self) -> str:
        return self.email

    def clean(self) -> None:
        self.email = UserManager.normalize_email(self.email)

    def set_password(self, raw_password: str | None) -> None:
        """Set a new password; sign-in tokens issued before this moment end when it is saved."""
        super().set_password(raw_password)
        if not self._state.adding:
            self.password_changed_at = _next_whole_second(timezone.now())

    def save(self, *args: Any, update_fields: Iterable[str] | None = None, **kwargs: Any) -> None:
        fields = None if update_fields is None else {*update_fields}
        if self._state.adding or (fields is not None and fields <= NO_CHANGE):
            return super().save(*args, update_fields=fields, **kwargs)
        self.updated_at = DatabaseNow()
        super().save(*args, update_fields=fields and {*fields, "updated_at"}, **kwargs)
        return self.refresh_from_db(fields=["updated_at"])

    def get_full_name(self) -> str:
        return self.name or self.email

    def get_short_name(self) -> str:
        return self.get_full_name()


class ApiToken(models.Model):
    """A key for programs, shown once when it is made and kept as a hash."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, db_default=RandomUUID(), editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)

    class Meta:
        db_table = "api_tokens"
        verbose_name = "API key"
        indexes = [models.Index(fields=["user", "-created_at"], name="api_tokens_user_created")]

    def __str__(self) -> str:
        return self.name


class IdempotencyKey(models.Model):
    """The first answer to a request that carried an Idempotency-Key; guests share one set of keys."""

    LIFETIME: ClassVar[timedelta] = timedelta(hours=24)

    user = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    body_hash = models.CharField(max_length=64)
    answer = models.JSONField(null=True)
    created_at = models.DateTimeField(db_default=DatabaseNow())

    class Meta:
        db_table = "idempotency_keys"
        constraints = [
            models.UniqueConstraint(
                fields=["user", "key"],
                condition=models.Q(user__isnull=False),
                name="idempotency_keys_user_key",
            ),
            models.UniqueConstraint(
                fields=["key"], condition=models.Q(user__isnull=True), name="idempotency_keys_guest_key"
            ),
        ]
        indexes = [models.Index(fields=["created_at"], name="idempotency_keys_created")]

    def __str__(self) -> str:
        return self.key


class LoginAttempt(models.Model):
    """How often one address tried one e-mail since the window opened."""

    id = models.CharField(primary_key=True, max_length=64)
    window_opened_at = models.DateTimeField(db_default=DatabaseNow())
    tries = models.IntegerField(db_default=0)

    class Meta:
        db_table = "login_attempts"
        indexes = [models.Index(fields=["window_opened_at"], name="login_attempts_window")]

    def __str__(self) -> str:
        return self.id

    @staticmethod
    def identify(*, address: str, email: str) -> str:
        """The row's key: a hash, so that the table holds no list of typed-in names."""
        return hashlib.sha256(f"{address}\n{email}".encode("utf-8", "replace")).hexdigest()


def _next_whole_second(moment: datetime) -> datetime:
    # A token says when it was issued in whole seconds. Rounding the change up, and new tokens with
    # it, makes every older token older even within the same second.
    return datetime.fromtimestamp(math.ceil(moment.timestamp()), tz=UTC)
