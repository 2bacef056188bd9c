"""Where an alert goes: what an address must look like, and how it is shown without its secrets."""

from __future__ import annotations

import base64
import re
from urllib.parse import unquote_to_bytes, urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from alerts.models import AlertType
from jobs.http_rules import check_url, mask_url
from web.redaction import MASK

MAX_LENGTH = 2048
_USERINFO = re.compile(r"(https?://)([A-Za-z0-9._~%!$&'()*+,;=:-]*)@([^/?#@]*)", re.IGNORECASE)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://.", re.IGNORECASE)


def check(kind: str, endpoint: str) -> str:
    """The address as it is stored.

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
    service, because each service puts its keys elsewhere.
    """
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
