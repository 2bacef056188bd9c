"""What can be done to users."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction

from accounts.login import count_try
from accounts.models import User, UserManager
from web.errors import Conflict, Forbidden, Invalid

Changes = dict[str, dict[str, Any]]


def make_user(*, email: str, password: str, name: str) -> User:
    """A user to be registered. Hashing takes a while, so it is done before anything is locked."""
    user = User(email=UserManager.normalize_email(email), name=name)
    user.set_password(password)
    return user


def register(user: User) -> None:
    """Save a new user. Raises Conflict for an e-mail that is taken."""
    try:
        with transaction.atomic():
            user.save()
    except IntegrityError:
        raise Conflict("A user with this e-mail already exists") from None


def require_open_registration() -> None:
    """Raise Forbidden while REGISTRATION_OPEN is off."""
    if not settings.REGISTRATION_OPEN:
        raise Forbidden("Registration is closed; REGISTRATION_OPEN opens it")


def rename(user: User, *, name: str) -> None:
    """Give the user another name."""
    user.name = name
    user.save(update_fields=["name"])


def check_own_password(user: User, password: str, *, address: str, now: datetime) -> None:
    """Raise Invalid unless this is the user's present password.

    Tries count like those at login, so call it outside a transaction, which would take the count back.
    """
    count_try(address=address, email=user.email, now=now)
    if not user.check_password(password):
        raise Invalid({"currentPassword": "Is not the current password"})


def save_password(user: User) -> None:
    """Save what `set_password` made: older access tokens end; API keys stay, they are deleted one by one."""
    user.save(update_fields=["password", "password_changed_at"])


def change_user(actor: User, user: User, *, groups: Sequence[Group] | None = None, **fields: Any) -> Changes:
    """Change another user's name, standing and groups; answers what changed as {field: {old, new}}.

    Raises Forbidden when somebody who is no superuser would change one, and Conflict when the actor would
    shut themselves out.
    """
    if user.is_superuser and not actor.is_superuser:
        raise Forbidden("Only a superuser may change a superuser")
    if actor.pk == user.pk and not (fields.get("is_active", True) and fields.get("is_staff", True)):
        raise Conflict("You cannot take your own access away")
    with transaction.atomic():
        changes = {
            name: {"old": getattr(user, name), "new": value}
            for name, value in fields.items()
            if getattr(user, name) != value
        }
        for name, value in fields.items():
            setattr(user, name, value)
        # Only these: a whole row would take back what another request changes meanwhile.
        user.save(update_fields=[*fields])
        if groups is not None:
            changes |= _set_groups(user, groups)
    return changes


def _set_groups(user: User, groups: Sequence[Group]) -> Changes:
    old = sorted(user.groups.values_list("name", flat=True))
    new = sorted(group.name for group in groups)
    user.groups.set(groups)
    return {"groups": {"old": old, "new": new}} if old != new else {}
