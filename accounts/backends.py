"""How Django itself, above all the admin, checks passwords and rights."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils import timezone

from accounts.login import log_in
from accounts.models import User
from web.errors import Refusal


class StaffBackend(ModelBackend):
    """Logs in by the same rules as the API, and lets all staff look at everything."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **credentials: Any,
    ) -> User | None:
        email = username or credentials.get(User.USERNAME_FIELD)
        if not email or password is None:
            return None
        address = request.META.get("REMOTE_ADDR", "") if request else ""
        try:
            return log_in(email=email, password=password, address=address, now=timezone.now())
        except Refusal as refusal:
            raise PermissionDenied(refusal.message) from None

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        if super().has_perm(user_obj, perm, obj):
            return True
        return obj is None and is_viewing(perm) and user_obj.is_active and user_obj.is_staff

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        return super().has_module_perms(user_obj, app_label) or (user_obj.is_active and user_obj.is_staff)


def is_viewing(perm: str) -> bool:
    """Whether the right ("app.codename") only lets somebody look."""
    return perm.partition(".")[2].startswith("view_")
