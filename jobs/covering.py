"""Secrets inside documents: what stands in their place, and how they come back.

A secret is what stands under a secret name: in headers, at any depth of payload and metadata, and in
the query of an address.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, unquote_plus

from django.conf import settings

from web.redaction import MASK, is_secret

# What stands for a secret: given the names that lead to it and its value.
Cover = Callable[[tuple[str, ...], Any], Any]
Place = tuple[str, ...]

_PAIR = re.compile(r"([?&;#])([^=&;#?]+)=([^&;#]*)")
_REFERENCE = re.compile(r"\$(\$?)\{([A-Za-z_][A-Za-z0-9_]*)\}")
_FINGERPRINT = re.compile(r"hmac:[0-9a-f]{32}")
MISSING = f"{MASK} keeps a stored value, and there is none"


def mask(path: Place, value: Any) -> Any:
    """`***` for every secret."""
    return MASK


def fingerprint(path: Place, value: Any) -> str:
    """What tells equal secrets from different ones and nothing else; it depends on SECRET_KEY."""
    text = json.dumps([*path, value], sort_keys=True, default=str)
    return "hmac:" + hmac.digest(settings.SECRET_KEY.encode(), text.encode(), "sha256").hex()[:32]


def hide_fingerprints(text: str) -> str:
    """The text with `***` for every fingerprint in it."""
    return _FINGERPRINT.sub(MASK, text)


def cover_value(value: Any, path: Place, cover: Cover) -> Any:
    """A JSON value with `cover` applied to everything under a secret name."""
    if isinstance(value, Mapping):
        return {
            key: cover((*path, str(key)), item)
            if is_secret(str(key)) and item not in (None, "")
            else cover_value(item, (*path, str(key)), cover)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [cover_value(item, (*path, str(place)), cover) for place, item in enumerate(value)]
    return value


def cover_url(url: str, cover: Cover) -> str:
    """An address with `cover` applied to the values of secret parameters."""

    def replace(found: re.Match[str]) -> str:
        separator, name, value = found.groups()
        plain = unquote_plus(name)
        if not is_secret(plain) or not value:
            return found[0]
        return f"{separator}{name}={cover(('api', plain), value)}"

    return _PAIR.sub(replace, url)


class Uncovering:
    """Puts secrets back: `${NAME}` by an environment, `***` by what is stored at the same place.

    `$${NAME}` is the text `${NAME}`. What cannot be put back is in `problems`, by its place.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: dict[Place, str] = {}

    def value(self, value: Any, stored: Any, path: Place) -> Any:
        """A JSON value with its secrets in place. Headers keep their `***`, which sealing understands."""
        if isinstance(value, Mapping):
            known = stored if isinstance(stored, Mapping) else {}
            return {
                key: self._item(key, item, known.get(key), (*path, str(key))) for key, item in value.items()
            }
        if isinstance(value, list):
            items = stored if isinstance(stored, list) else []
            rest = [None] * (len(value) - len(items))
            pairs = zip(value, [*items, *rest], strict=False)
            return [self.value(item, old, (*path, str(place))) for place, (item, old) in enumerate(pairs)]
        return value

    def url(self, url: str, stored: str | None) -> str:
        """An address with the secret parameters of its query in place."""
        known = {unquote_plus(name): value for _, name, value in _PAIR.findall(stored or "")}

        def replace(found: re.Match[str]) -> str:
            separator, name, value = found.groups()
            plain = unquote_plus(name)
            if not is_secret(plain):
                return found[0]
            if value == MASK and plain not in known:
                self.problems["api",] = f"{plain}: {MISSING}"
            value = known.get(plain, "") if value == MASK else self._refer(value, ("api",), quoted=True)
            return f"{separator}{name}={value}"

        return _PAIR.sub(replace, url)

    def _item(self, key: Any, value: Any, stored: Any, path: Place) -> Any:
        if not is_secret(str(key)):
            return self.value(value, stored, path)
        if value == MASK and path[0] != "headers":
            if stored is None:
                self.problems[path] = MISSING
            return stored
        return self._refer(value, path) if isinstance(value, str) else value

    def _refer(self, text: str, path: Place, *, quoted: bool = False) -> str:
        def replace(found: re.Match[str]) -> str:
            if found[1]:
                return f"${{{found[2]}}}"
            if found[2] not in self._environ:
                self.problems[path] = f"the environment variable {found[2]} is not set"
            value = self._environ.get(found[2], "")
            return quote(value, safe="") if quoted else value

        return _REFERENCE.sub(replace, text)
