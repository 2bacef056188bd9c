"""Checking a password, at most ten times a minute per address and e-mail."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.db.models import Case, F, Q, When

from accounts.models import LoginAttempt, User, UserManager
from web.errors import TooManyRequests, Unauthorized

TRIES = 10
WINDOW = timedelta(minutes=1)
KEPT = timedelta(hours=1)
BAD_CREDENTIALS = "Invalid credentials"


def log_in(*, email: str, password: str, address: str, now: datetime) -> User:
    """The active user with this e-mail and password; notes the login.

    Raises TooManyRequests after ten tries in a minute, good or bad, and Unauthorized in the same words
    and after the same work for an unknown e-mail, a wrong password and a user who is not active.
    """
    email = UserManager.normalize_email(email)
    count_try(address=address, email=email, now=now)
    user = User.objects.filter(email=email).first()
    if user is None:
        make_password(password)  # the time that a check would have taken
    if user is None or not user.check_password(password) or not user.is_active:
        raise Unauthorized(BAD_CREDENTIALS)
    user.last_login = now
    user.save(update_fields=["last_login"])
    return user


def count_try(*, address: str, email: str, now: datetime) -> None:
    """Count one more try in the database; raises TooManyRequests above ten within a minute.

    The first try opens the minute. Counted before the password is looked at, so that tries at the same
    time count too.
    """
    key = LoginAttempt.identify(address=address, email=email)
    over = Q(window_opened_at__lte=now - WINDOW)
    with transaction.atomic():
        _attempt, is_new = LoginAttempt.objects.get_or_create(id=key, defaults={"window_opened_at": now})
        LoginAttempt.objects.filter(pk=key).update(
            tries=Case(When(over, then=1), default=F("tries") + 1),
            window_opened_at=Case(When(over, then=now), default=F("window_opened_at")),
        )
        attempt = LoginAttempt.objects.get(pk=key)
        if is_new:
            LoginAttempt.objects.filter(window_opened_at__lt=now - KEPT).delete()
    if attempt.tries > TRIES:
        left = attempt.window_opened_at + WINDOW - now
        raise TooManyRequests(
            "Too many tries to log in; see Retry-After", wait=max(1, math.ceil(left.total_seconds()))
        )
