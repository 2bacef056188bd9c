"""Keys for programs: random text that is shown once and kept as a hash."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from django.db.models import Q

from accounts.models import ApiToken, User

PREFIX = "sk_"
# Writing each use would cost a write per request.
USE_IS_NOTED_EVERY = timedelta(minutes=1)


def create_key(user: User, *, name: str, expires_at: datetime | None = None) -> tuple[ApiToken, str]:
    """A new key of the user, and its text, which is known only now."""
    text = PREFIX + secrets.token_urlsafe(32)
    key = ApiToken.objects.create(user=user, name=name, token_hash=hash_key(text), expires_at=expires_at)
    return key, text


def find_key(text: str, *, now: datetime) -> ApiToken | None:
    """The key with its user, if there is one that has not expired; notes the use to the minute."""
    good = Q(expires_at=None) | Q(expires_at__gt=now)
    key = ApiToken.objects.select_related("user").filter(good, token_hash=hash_key(text)).first()
    if key is not None and (key.last_used_at is None or key.last_used_at <= now - USE_IS_NOTED_EVERY):
        ApiToken.objects.filter(pk=key.pk).update(last_used_at=now)
    return key


def hash_key(text: str) -> str:
    """What the table keeps. 256 random bits need no slow hash."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
