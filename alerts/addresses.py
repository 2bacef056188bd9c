"""Where an alert goes: what an address must look like, how it is kept, and how it is shown.

An address that holds a secret is stored encrypted, as header values of jobs are; a plain one, which SQL
may write, works too.
"""

from __future__ import annotations

import base64
import re
from urllib.parse import unquote_to_bytes, urlsplit

from cryptography.fernet import InvalidToken
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from alerts.models import Alert, AlertType
from jobs import secrets
from jobs.http_rules import check_url, mask_url
from web.redaction import MASK

MAX_LENGTH = 2048
_USERINFO = re.compile(r"(https?://)([A-Za-z0-9._~%!$&'()*+,;=:-]*)@([^/?#@]*)", re.IGNORECASE)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://.", re.IGNORECASE)


def prepare(kind: str, endpoint: str) -> str:
    """The address as it is stored: checked, and sealed where it holds a secret.

    Raises ValueError as `check` does, and for one with secrets that is too long to be sealed.
    """
    plain = check(kind, endpoint)
    if shown(kind, plain) == plain:
        return plain
    sealed = secrets.seal_text(plain)
    if len(sealed) > MAX_LENGTH:
        raise ValueError("Must not be longer than 1400 characters, because it holds a secret")
    return sealed


def reveal(stored: str) -> str:
    """The address behind a stored one. Raises LostKey (a ValueError) where no key of ours opens it."""
    if not stored.startswith(secrets.SEAL):
        return stored
    try:
        return secrets.open_text(stored)
    except InvalidToken:
        raise secrets.LostKey("it was sealed with a key that ENCRYPTION_KEYS does not hold") from None


def check(kind: str, endpoint: str) -> str:
    """The address without blanks around it.

    Raises ValueError with the reason for one that this kind of alert cannot be sent to. Hosts are
    judged when they are connected to, as those of jobs are.
    """
    text = endpoint.strip()
    if not text:
        raise ValueError("Must not be empty")
    if len(text) > MAX_LENGTH:
        raise ValueError(f"Must not be longer than {MAX_LENGTH} characters")
    if MASK in text:
        raise ValueError(f"{MASK} stands for what is stored; write the whole address to change it")
    if kind == AlertType.EMAIL:
        return _check_mailbox(text)
    if kind == AlertType.APPRISE:
        return _check_service(text)
    check_url(split_credentials(text)[0])
    return text


def split_credentials(url: str) -> tuple[str, str | None]:
    """The URL without user name and password, and these as the value of an Authorization header."""
    found = _USERINFO.match(url)
    if found is None:
        return url, None
    scheme, given, host = found.groups()
    user, _, password = given.partition(":")
    pair = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return f"{scheme}{host}{url[found.end() :]}", f"Basic {base64.b64encode(pair).decode()}"


def _check_mailbox(text: str) -> str:
    try:
        validate_email(text)
    except ValidationError:
        raise ValueError("Must be an e-mail address") from None
    return text


def _check_service(text: str) -> str:
    scheme = find_scheme(text)
    if scheme is None:
        raise ValueError("Must be an Apprise URL such as discord://id/token")
    if scheme not in settings.APPRISE_SCHEMES:
        known = ", ".join(settings.APPRISE_SCHEMES) or "none"
        raise ValueError(f"The service {scheme} is not one of APPRISE_SCHEMES ({known})")
    return text


def find_scheme(text: str) -> str | None:
    """The service that an Apprise URL names, in lower case."""
    found = _SCHEME.match(text)
    return found[1].lower() if found else None


def shown(kind: str, endpoint: str) -> str:
    """The address as everybody may see it.

    Of a webhook the user's name, password and secret query values are hidden; of a chat hook
    everything behind the first part of the path, which is its key; of an Apprise URL all but the
    service, because each service puts its keys elsewhere. `endpoint` may be sealed.
    """
    try:
        endpoint = reveal(endpoint)
    except secrets.LostKey:
        return MASK
    if kind == AlertType.EMAIL:
        return endpoint
    if kind == AlertType.APPRISE:
        return f"{find_scheme(endpoint) or 'apprise'}://{MASK}"
    plain = mask_url(endpoint)
    return _hide_path(plain) if kind == AlertType.SLACK else plain


def _hide_path(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    first, _, rest = parts.path.lstrip("/").partition("/")
    if not (first or parts.query):
        return url
    return f"{parts.scheme}://{parts.netloc}/{first if rest else ''}{'/' if rest else ''}{MASK}"


def rotate() -> int:
    """Seal every stored address that holds a secret anew with the first key; answers how many changed.

    Addresses that no key opens are left as they are.
    """
    changed = 0
    for alert in Alert.objects.exclude(type=AlertType.EMAIL).only("id", "type", "endpoint").iterator():
        try:
            plain = reveal(alert.endpoint)
        except secrets.LostKey:
            continue
        if shown(alert.type, plain) != plain:
            # Only while it is what was read: an edit in between is sealed with the first key already.
            same = Alert.objects.filter(id=alert.id, type=alert.type, endpoint=alert.endpoint)
            changed += same.update(endpoint=secrets.seal_text(plain))
    return changed
