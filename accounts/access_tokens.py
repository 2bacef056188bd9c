"""The token that a login answers: a JWT that names its user and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import jwt
from django.conf import settings

from accounts.models import User

ALGORITHM = "HS256"
CLAIMS = frozenset({"sub", "email", "iat", "exp"})
MAX_LENGTH = 4096


class BadToken(ValueError):
    """The text is no token of ours, or no longer one."""


@dataclass(frozen=True, kw_only=True)
class Claims:
    """What a good token says: whose it is, and when it was issued (UTC, whole seconds)."""

    user_id: UUID
    issued_at: datetime


def issue_token(user: User, *, now: datetime) -> str:
    """A token for the user that is good for JWT_EXPIRATION from now."""
    # Never before the last change of the password, which is kept rounded up to a whole second.
    issued = max(int(now.timestamp()), int((user.password_changed_at or now).timestamp()))
    claims = {
        "sub": str(user.pk),
        "email": user.email,
        "iat": issued,
        "exp": issued + int(settings.JWT_EXPIRATION.total_seconds()),
    }
    return jwt.encode(claims, settings.JWT_SECRET, algorithm=ALGORITHM)


def read_token(text: str, *, now: datetime) -> Claims:
    """What the token says, if we signed it and it has not expired. Raises BadToken.

    Whether its user still exists, is active and has kept the password is for the caller to look up.
    """
    if len(text) > MAX_LENGTH:
        raise BadToken("too long")
    try:
        # Time is checked below, against `now`.
        claims = jwt.decode(
            text,
            settings.JWT_SECRET,
            algorithms=[ALGORITHM],
            options={"require": sorted(CLAIMS), "verify_exp": False, "verify_iat": False},
        )
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise BadToken("not signed by us") from None
    # Whatever else was ever signed with this key has other claims.
    if set(claims) != CLAIMS or type(claims["iat"]) is not int or type(claims["exp"]) is not int:
        raise BadToken("not a token for access")
    try:
        expires_at = datetime.fromtimestamp(claims["exp"], tz=UTC)
        found = Claims(user_id=UUID(claims["sub"]), issued_at=datetime.fromtimestamp(claims["iat"], tz=UTC))
    except (ValueError, OverflowError, AttributeError):
        raise BadToken("names no user or no time") from None
    if expires_at <= now:
        raise BadToken("expired")
    return found
