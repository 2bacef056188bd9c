"""The three groups of staff and what they may do."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.apps import apps as installed_apps
from django.contrib.auth.models import Group, Permission
from django.db.models import Q

VIEWERS = "viewers"
OPERATORS = "operators"
ADMINS = "admins"
GROUP_NAMES = (VIEWERS, OPERATORS, ADMINS)


def grant_permissions(
    app_config: AppConfig, *, using: str = "default", apps: Any = installed_apps, **_: Any
) -> None:
    """Make the groups and give each its share of one app's permissions.

    Viewers get every ``view_`` permission, operators also every ``operate_`` permission, admins all.
    Rights that somebody added by hand stay. Runs after each migration of each app.
    """
    if not _is_migrated(apps):
        return
    of_the_app = Permission.objects.using(using).filter(content_type__app_label=app_config.label)
    view, operate = Q(codename__startswith="view_"), Q(codename__startswith="operate_")
    shares = {VIEWERS: view, OPERATORS: view | operate, ADMINS: Q()}
    for name, share in shares.items():
        group, _created = Group.objects.using(using).get_or_create(name=name)
        group.permissions.add(*of_the_app.filter(share))


def _is_migrated(apps: Any) -> bool:
    try:
        apps.get_model("auth", "Group")
        apps.get_model("contenttypes", "ContentType")
    except LookupError:
        return False
    return True
