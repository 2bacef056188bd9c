"""What a URL and a header may look like, and which values are secrets.

One parser reads a URL, here (`read_url`), and what it found is what is connected to and sent:
there is no second opinion for an attacker to play against the first.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult, quote, unquote, unquote_plus, urlsplit

import idna

MAX_URL = 2048
MAX_HEADERS = 50
MAX_HEADER_BYTES = 8 * 1024
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
MASK = "***"

_DEFAULT_PORTS = {"http": 80, "https": 443}
# Services that read a request line as commands of their own: mail, shells, databases, caches.
_OTHER_PROTOCOLS = frozenset(
    {21, 22, 23, 25, 110, 143, 465, 587, 993, 995, 1433, 3306, 5432, 6379, 11211, 27017}
)
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ufeff\ud800-\udfff\\]")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

# Framing and connection management are the caller's own (RFC 9110 §7.6.1 and its forerunners).
FRAMING_HEADERS = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "proxy-connection",
        "keep-alive",
        "te",
        "trailer",
        "trailers",
        "upgrade",
        "proxy-authenticate",
    }
)
DENIED_HEADERS = FRAMING_HEADERS | {"idempotency-key"}


class RuleError(ValueError):
    """What is wrong, one entry of `problems` each; the message joins them."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, kw_only=True)
class Target:
    """A URL taken apart, ready to be connected to and sent."""

    scheme: str
    #: ASCII, lower case, IPv6 without brackets, a trailing dot kept (it matters to DNS).
    host: str
    port: int
    #: Path and query as they go on the request line: ASCII, no spaces.
    path: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """What browsers call the origin: scheme, host and port."""
        return (self.scheme, self.host.rstrip("."), self.port)

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = self.host.rstrip(".")
        host = f"[{host}]" if ":" in host else host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def check_url(text: str) -> str:
    """Answer `text` unchanged if it is an http(s) URL that may be stored.

    Private and loopback hosts pass: the guard judges the address when it is connected to.
    Raises RuleError (a ValueError) that lists every problem.
    """
    read_url(text)
    return text


@lru_cache(maxsize=4096)
def read_url(text: str) -> Target:
    """Take an http(s) URL apart. Raises RuleError that lists every problem."""
    if not text:
        raise RuleError("must be an http or https URL")
    problems = []
    if len(text) > MAX_URL:
        problems.append(f"must have at most {MAX_URL} characters")
    if _FORBIDDEN.search(text):
        problems.append("must not contain spaces, control characters or backslashes")
    if problems:
        raise RuleError(*problems)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise RuleError("host or port cannot be read") from None
    return _read_parts(parts, port)


def _read_parts(parts: SplitResult, port: int | None) -> Target:
    problems = []
    if parts.scheme not in _DEFAULT_PORTS:
        problems.append("scheme must be http or https")
    if "@" in parts.netloc:
        problems.append("must not contain a user name or password")
    host = ""
    try:
        host = _read_host(parts)
    except RuleError as error:
        problems.extend(error.problems)
    if port == 0 or port in _OTHER_PROTOCOLS:
        problems.append(f"port {port} does not speak HTTP")
    if problems:
        raise RuleError(*problems)
    path = quote(parts.path or "/", safe="!#$%&'()*+,/:;=?@[]~")
    query = "?" + quote(parts.query, safe="!$%&'()*+,/:;=?@[]~") if parts.query else ""
    return Target(
        scheme=parts.scheme,
        host=host,
        port=port or _DEFAULT_PORTS[parts.scheme],
        path=path + query,
    )


def _read_host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if not host:
        raise RuleError("host is missing")
    if "[" in parts.netloc:
        return _read_ipv6(host)
    if not host.isascii():
        host = encode_name(host)
    name = host.removesuffix(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise RuleError("host is not a valid name")
    return host


def _read_ipv6(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(unquote(text)))
    except ValueError:
        raise RuleError("host is not a valid IPv6 address") from None


def encode_name(host: str) -> str:
    """The ASCII form by UTS 46, which is what browsers do: `①②⑦.⓪.⓪.①` becomes 127.0.0.1."""
    try:
        return idna.encode(host, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        raise RuleError("host is not a valid international name") from None


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Answer the headers of a job, values without surrounding blanks, if they may be stored.

    Raises RuleError (a ValueError) that lists every problem.
    """
    if not isinstance(headers, Mapping):
        raise RuleError("must be an object of texts")
    problems = []
    if len(headers) > MAX_HEADERS:
        problems.append(f"must have at most {MAX_HEADERS} headers")
    checked: dict[str, str] = {}
    seen: set[str] = set()
    for name, value in headers.items():
        problem = _find_header_problem(name, value, seen)
        if problem:
            problems.append(problem)
        else:
            checked[name] = value.strip(" \t")
    if sum(len(name) + len(value) + 4 for name, value in checked.items()) > MAX_HEADER_BYTES:
        problems.append(f"must have at most {MAX_HEADER_BYTES} bytes together")
    if problems:
        raise RuleError(*problems[:MAX_HEADERS])
    return checked


def _find_header_problem(name: object, value: object, seen: set[str]) -> str | None:
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        return f"{_show(name)} is not a valid header name"
    lower = name.lower()
    if lower in DENIED_HEADERS:
        return f"{_show(name)} is set by the scheduler itself"
    if lower in seen:
        return f"{_show(name)} is given twice"
    seen.add(lower)
    if not isinstance(value, str):
        return f"the value of {_show(name)} must be a text"
    if not _VALUE.fullmatch(value):
        return f"the value of {_show(name)} has characters that a header cannot carry"
    return None


def _show(name: object) -> str:
    return ascii(name)[:60]


@lru_cache(maxsize=4096)
def is_secret(name: str) -> bool:
    """Whether values under this name are secrets (header, query parameter or payload key)."""
    lower = name.lower()
    return lower in _SECRET_NAMES or any(word in lower for word in _SECRET_WORDS)


_SECRET_NAMES = frozenset({"authorization", "proxy-authorization", "cookie"})
_SECRET_WORDS = ("key", "token", "secret", "password")
_USERINFO = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]*:)?//[^/?#]*@")
_PAIR = re.compile(r"([?&;#])([^=&;#?]+)=([^&;#]*)")


def mask_url(url: str) -> str:
    """The URL with `***` for user name, password and the values of secret query parameters.

    Works on any text, also on one that is no valid URL.
    """
    if "=" not in url and "@" not in url:
        return url
    shown = _USERINFO.sub(lambda found: f"{found[1] or ''}//{MASK}@", url)
    return _PAIR.sub(_mask_pair, shown)


def _mask_pair(found: re.Match[str]) -> str:
    separator, name, _ = found.groups()
    return f"{separator}{name}={MASK}" if is_secret(unquote_plus(name)) else found[0]


def mask_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers with `***` for the values under secret names."""
    return {name: MASK if is_secret(name) else value for name, value in headers.items()}


def mask(value: Any) -> Any:
    """A copy of any JSON value with `***` for everything under a secret name, at any depth."""
    if isinstance(value, Mapping):
        return {key: MASK if is_secret(str(key)) else mask(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [mask(inner) for inner in value]
    return value
