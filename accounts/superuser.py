"""The first superuser, made from the environment."""

from __future__ import annotations

import logging
from typing import Any

from django.apps import apps as installed_apps
from django.conf import settings

from accounts.models import User, UserManager

logger = logging.getLogger(__name__)


def create_first_superuser(*, using: str = "default", apps: Any = installed_apps, **_: Any) -> None:
    """Create the superuser named by ADMIN_EMAIL and ADMIN_PASSWORD where there is none yet.

    An account that already has the address is left as it is: whoever registered it first must not
    become a superuser by that.
    """
    email = UserManager.normalize_email(settings.ADMIN_EMAIL)
    if not email or not settings.ADMIN_PASSWORD or not _is_migrated(apps):
        return
    users = User.objects.db_manager(using)
    if users.filter(is_superuser=True).exists():
        return
    if users.filter(email=email).exists():
        logger.warning("ADMIN_EMAIL belongs to a user without superuser rights; nothing was changed")
        return
    users.create_superuser(email, settings.ADMIN_PASSWORD, name="Administrator")
    logger.info("created the first superuser")


def _is_migrated(apps: Any) -> bool:
    try:
        apps.get_model("accounts", "User")
    except LookupError:
        return False
    return True
