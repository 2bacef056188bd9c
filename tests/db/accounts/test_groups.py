"""Groups and the first superuser are made by the migration."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.test import override_settings

from accounts.groups import GROUP_NAMES, grant_permissions
from accounts.models import User
from accounts.superuser import create_first_superuser
from tests.db.accounts.people import make_user

pytestmark = pytest.mark.django_db

FIRST = {"ADMIN_EMAIL": "Root@Example.com", "ADMIN_PASSWORD": "first password"}


def rights_of(name: str) -> set[str]:
    return set(Group.objects.get(name=name).permissions.values_list("codename", flat=True))


def test_the_three_groups_exist_and_hold_their_shares() -> None:
    every = set(Permission.objects.values_list("codename", flat=True))
    view = {name for name in every if name.startswith("view_")}
    operate = {name for name in every if name.startswith("operate_")}
    assert operate
    assert rights_of("viewers") == view
    assert rights_of("operators") == view | operate
    assert rights_of("admins") == every


def test_a_right_added_by_hand_survives_the_next_migration() -> None:
    right = Permission.objects.get(codename="add_user")
    Group.objects.get(name="viewers").permissions.add(right)
    for app_config in apps.get_app_configs():
        grant_permissions(app_config)
    assert "add_user" in rights_of("viewers")
    assert Group.objects.filter(name__in=GROUP_NAMES).count() == 3


def test_all_staff_may_look_at_everything_and_nobody_else() -> None:
    staff, user = make_user("s@example.com", is_staff=True), make_user()
    assert staff.has_perm("jobs.view_job")
    assert not staff.has_perm("jobs.change_job")
    assert staff.has_module_perms("jobs")
    assert not user.has_perm("jobs.view_job")
    assert not user.has_module_perms("jobs")
    staff.is_active = False
    assert not staff.has_perm("jobs.view_job")


def test_operators_operate_and_admins_change() -> None:
    operator = make_user("o@example.com", is_staff=True, groups=("operators",))
    boss = make_user("a@example.com", is_staff=True, groups=("admins",))
    assert operator.has_perm("jobs.operate_job")
    assert not operator.has_perm("jobs.change_job")
    assert boss.has_perms(["jobs.operate_job", "jobs.change_job", "accounts.change_user"])


@override_settings(**FIRST)
def test_the_first_superuser_is_made_once() -> None:
    create_first_superuser()
    create_first_superuser()
    root = User.objects.get()
    assert (root.email, root.is_superuser, root.is_staff) == ("root@example.com", True, True)
    assert root.check_password("first password")


@override_settings(**FIRST)
def test_whoever_has_the_address_already_does_not_become_a_superuser() -> None:
    make_user("root@example.com")
    create_first_superuser()
    assert not User.objects.filter(is_superuser=True).exists()


@override_settings(**FIRST)
def test_where_there_is_a_superuser_nothing_is_made() -> None:
    User.objects.create_superuser("other@example.com", "x")
    create_first_superuser()
    assert User.objects.count() == 1


@override_settings(ADMIN_EMAIL="", ADMIN_PASSWORD="")
def test_without_the_settings_nothing_is_made() -> None:
    create_first_superuser()
    assert not User.objects.exists()
