"""Whose request is it? A bearer is an access token or an API key; both lead to an active user or to 401."""

from __future__ import annotations

from datetime import datetime

from accounts import access_tokens, api_keys
from accounts.models import User
from web.errors import Unauthorized


def find_caller(bearer: str, *, now: datetime) -> User:
    """The user whom the bearer stands for, looked up anew.

    Raises Unauthorized, always in the same words: which part was wrong helps only those who guess.
    """
    find = _by_key if bearer.startswith(api_keys.PREFIX) else _by_token
    user = find(bearer, now)
    if user is None or not user.is_active:
        raise Unauthorized("The token is not valid, has expired or was revoked")
    return user


def _by_key(text: str, now: datetime) -> User | None:
    key = api_keys.find_key(text, now=now) if len(text) <= access_tokens.MAX_LENGTH else None
    return key.user if key else None


def _by_token(text: str, now: datetime) -> User | None:
    try:
        claims = access_tokens.read_token(text, now=now)
    except access_tokens.BadToken:
        return None
    user = User.objects.filter(pk=claims.user_id).first()
    if user and user.password_changed_at and claims.issued_at < user.password_changed_at:
        return None
    return user
