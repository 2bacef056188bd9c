"""Who may call a route, and who may change a thing: one rule for every view.

Guests exist only with AUTH_MODE=optional and are to the things without an owner what users are to their
own. Staff change others' things as Django's permissions, mostly through groups, allow; the admin asks the
same ones.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from web.errors import Forbidden, Unauthorized


def may_change(user: Any, right: str | None, *, owner_id: UUID | None) -> bool:
    """Whether the user may do what `right` ("app.codename") names to a thing with this owner.

    Owners may do anything to their own things; a right of None is nobody else's.
    """
    if owner_id is not None and user.pk == owner_id:
        return True
    if user.is_authenticated:
        return right is not None and bool(user.is_staff and user.has_perm(right))
    return owner_id is None and guests_allowed()


def require_right(user: Any, right: str | None, *, owner_id: UUID | None = None) -> None:
    """Raise Forbidden, naming the right, unless `may_change`."""
    if not may_change(user, right, owner_id=owner_id):
        raise Forbidden(f"This needs the right {right}" if right else "Only the owner may do this")


def guests_allowed() -> bool:
    """Whether this installation serves callers without a token."""
    return bool(settings.AUTH_MODE == "optional")


class AccessPermission(BasePermission):
    """Reads the view's attributes; see `web.api.views.ApiView`."""

    def has_permission(self, request: Request, view: Any) -> bool:
        user = request.user
        if view.open_to_all:
            return True
        if not user.is_authenticated:
            self._admit_guest(view)
        elif view.staff_only and not user.is_staff:
            raise Forbidden("This route is for staff")
        if not view.owned and request.method not in SAFE_METHODS:
            self._require(request, view, owner_id=None)
        return True

    def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        if view.owned and request.method not in SAFE_METHODS:
            self._require(request, view, owner_id=view.owner_of(obj))
        return True

    def _admit_guest(self, view: Any) -> None:
        if not guests_allowed():
            raise Unauthorized("A token is required, because AUTH_MODE is required here")
        if view.staff_only or view.users_only:
            raise Unauthorized("This route needs a token, also with AUTH_MODE=optional")

    def _require(self, request: Request, view: Any, *, owner_id: UUID | None) -> None:
        # A method that the view does not have is answered 405 a moment later.
        action = getattr(view, "action", None) or (request.method or "").lower()
        if action in view.rights:
            if not view.owned and not request.user.is_authenticated:
                # What has no owner belongs to the installation, not to its guests.
                raise Unauthorized("This needs a token, also with AUTH_MODE=optional")
            require_right(request.user, view.rights[action], owner_id=owner_id)
        elif view.owned:
            require_right(request.user, None, owner_id=owner_id)
