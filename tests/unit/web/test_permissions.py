"""Who may call, and who may change."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import override_settings

from web.api.permissions import AccessPermission, may_change
from web.errors import Forbidden, Refusal, Unauthorized

ADA, BOB = UUID(int=1), UUID(int=2)
GUEST = AnonymousUser()


def person(key: UUID = ADA, *rights: str, staff: bool = False) -> Any:
    return SimpleNamespace(
        pk=key, is_authenticated=True, is_staff=staff, has_perm=lambda right: right in rights
    )


def view(**attributes: Any) -> Any:
    defaults: dict[str, Any] = {
        "open_to_all": False,
        "users_only": False,
        "staff_only": False,
        "owned": True,
        "rights": {"pause": "jobs.operate_job"},
        "action": "pause",
        "owner_of": lambda thing: thing.user_id,
    }
    return SimpleNamespace(**(defaults | attributes))


def request(user: Any, method: str = "POST") -> Any:
    return SimpleNamespace(user=user, method=method)


def refused(user: Any, method: str = "POST", **attributes: Any) -> type[Refusal] | None:
    try:
        AccessPermission().has_permission(request(user, method), view(**attributes))
    except Refusal as refusal:
        return type(refusal)
    return None


@pytest.mark.parametrize(
    ("user", "owner", "mode", "allowed"),
    [
        (person(ADA), ADA, "required", True),
        (person(ADA), BOB, "required", False),
        (person(ADA), None, "optional", False),
        (person(ADA, "jobs.operate_job"), BOB, "required", False),
        (person(ADA, staff=True), BOB, "required", False),
        (person(ADA, staff=True), ADA, "required", True),
        (person(ADA, "jobs.operate_job", staff=True), BOB, "required", True),
        (person(ADA, "jobs.operate_job", staff=True), None, "required", True),
        (GUEST, None, "optional", True),
        (GUEST, None, "required", False),
        (GUEST, ADA, "optional", False),
    ],
)
def test_owners_change_their_own_and_staff_what_their_rights_allow(
    user: Any, owner: UUID | None, mode: str, allowed: bool
) -> None:
    with override_settings(AUTH_MODE=mode):
        assert may_change(user, "jobs.operate_job", owner_id=owner) is allowed


def test_a_right_of_none_is_nobody_elses() -> None:
    boss = SimpleNamespace(pk=BOB, is_authenticated=True, is_staff=True, has_perm=lambda _right: True)
    assert not may_change(boss, None, owner_id=ADA)


@override_settings(AUTH_MODE="required")
def test_with_tokens_required_guests_reach_open_routes_only() -> None:
    assert refused(GUEST, open_to_all=True) is None
    assert refused(GUEST) is Unauthorized
    assert refused(GUEST, "GET") is Unauthorized


@override_settings(AUTH_MODE="optional")
def test_with_tokens_optional_guests_reach_what_is_not_for_users_or_staff() -> None:
    assert refused(GUEST) is None
    assert refused(GUEST, users_only=True) is Unauthorized
    assert refused(GUEST, staff_only=True) is Unauthorized
    assert refused(GUEST, "GET", owned=False) is None
    assert refused(GUEST, owned=False, action="preview") is None
    assert refused(GUEST, owned=False) is Unauthorized


@override_settings(AUTH_MODE="required")
def test_staff_routes_are_for_staff_and_their_changes_for_those_with_the_right() -> None:
    assert refused(person(), "GET", staff_only=True) is Forbidden
    assert refused(person(staff=True), "GET", staff_only=True, owned=False) is None
    assert refused(person(staff=True), staff_only=True, owned=False) is Forbidden
    assert refused(person(ADA, "jobs.operate_job", staff=True), staff_only=True, owned=False) is None


@override_settings(AUTH_MODE="required")
def test_an_action_without_a_right_is_for_the_owner_alone() -> None:
    permission = AccessPermission()
    boss = SimpleNamespace(pk=BOB, is_authenticated=True, is_staff=True, has_perm=lambda _right: True)
    thing = SimpleNamespace(user_id=ADA)
    assert permission.has_object_permission(request(person(ADA)), view(action="rename"), thing)
    with pytest.raises(Forbidden):
        permission.has_object_permission(request(boss), view(action="rename"), thing)
    assert permission.has_object_permission(request(boss), view(), thing)
    assert permission.has_object_permission(request(boss, "GET"), view(action="rename"), thing)
