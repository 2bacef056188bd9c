"""Reads settings from the environment and the `.env` file, and names every value that is wrong.

A reader never raises: it remembers the problem and answers the default, so that one start shows all
mistakes. `Environment.stop_if_bad` then ends the process with one line per bad setting.
"""

from __future__ import annotations

import base64
import binascii
import io
import ipaddress
import re
import sys
import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ

from executions.http.signature import read_secrets

# gunicorn's master ends for good on this code; on any other it would start the worker again for ever.
EXIT_BAD_SETTING = 3
SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASS|URL", re.IGNORECASE)
TRUE, FALSE = {"true", "1", "yes", "on", "y"}, {"false", "0", "no", "off", "n"}
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DURATION = re.compile(r"(\d{1,9})\s*([smhd]?)", re.ASCII)
RATE = re.compile(r"(\d{1,9})/(s|sec|second|m|min|minute|h|hour|d|day)", re.ASCII)
# Defaults for a place, below everything that is set. SETTINGS_PROFILE names one.
PROFILES: Mapping[str, Mapping[str, str]] = {
    "": {},
    "development": {"APP_ENV": "development"},
    "demo": {"APP_ENV": "development", "AUTH_MODE": "optional"},
}
HOST = re.compile(r"(\*|\[[0-9a-f:.]+\]|\.?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?)", re.IGNORECASE)
EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
ENV_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*")
QUOTED = re.compile(r"""("(?:[^"\\]|\\.)*"|'[^']*')\s*(?:#.*)?""")


class Environment:
    """The settings as typed values. `problems` tells what was wrong, by the variable's name."""

    def __init__(self, values: Mapping[str, str], *, root: Path) -> None:
        self.root = root
        self.problems: dict[str, str] = {}
        self._values = values

    def refuse(self, name: str, reason: str) -> None:
        """Remember that the variable `name` is wrong; the first reason counts."""
        self.problems.setdefault(name, reason)

    def stop_if_bad(self) -> None:
        """End the process (exit code 3) with one line per bad setting on stderr, without a traceback."""
        if self.problems:
            for name, reason in self.problems.items():
                print(f"Bad setting {name}: {reason}", file=sys.stderr)
            sys.exit(EXIT_BAD_SETTING)

    def given(self, *names: str) -> str | None:
        """The first of these variables that is set and not empty, or None."""
        return next((name for name in names if self._raw(name)), None)

    def starting_with(self, prefix: str) -> dict[str, str]:
        """The variables of a library that reads the environment by itself, those of `.env` among them."""
        return {name: self._raw(name) for name in self._values if name.startswith(prefix) and self._raw(name)}

    def text(self, name: str, default: str = "", *aliases: str) -> str:
        """The text of the variable or of the first alias that is set."""
        found = self.given(name, *aliases)
        return self._raw(found) if found else default

    def choice(self, name: str, default: str, allowed: Sequence[str], *aliases: str) -> str:
        """One of the allowed words, in any case."""
        found = self.given(name, *aliases) or name
        word = self.text(found, default).lower()
        if word in allowed:
            return word
        self.refuse(found, f"must be one of {', '.join(allowed)}, not {self._shown(found)}")
        return default

    def flag(self, name: str, default: bool) -> bool:
        """true or false (also 1, yes, on and 0, no, off)."""
        word = self._raw(name).lower()
        if not word or word in TRUE | FALSE:
            return word in TRUE if word else default
        self.refuse(name, f"must be true or false, not {self._shown(name)}")
        return default

    def whole(self, name: str, default: int, low: int, high: int, *aliases: str) -> int:
        """A whole number from `low` to `high`."""
        found = self.given(name, *aliases)
        if found is None:
            return default
        text = self._raw(found)
        if re.fullmatch(r"[+-]?\d{1,15}", text, re.ASCII) and low <= int(text) <= high:
            return int(text)
        self.refuse(found, f"must be a whole number from {low} to {high}, not {self._shown(found)}")
        return default

    def duration(self, name: str, default: timedelta, *, high: timedelta) -> timedelta:
        """A span such as `90s`, `30m`, `24h` or `7d` (a bare number counts seconds), from 1 s to `high`."""
        text = self._raw(name)
        if not text:
            return default
        match = DURATION.fullmatch(text)
        seconds = int(match[1]) * UNITS[match[2] or "s"] if match else 0
        if 0 < seconds <= high.total_seconds():
            return timedelta(seconds=seconds)
        self.refuse(
            name, f"must be a span like 30m, 24h or 7d, at most {high.days}d, not {self._shown(name)}"
        )
        return default

    def rate(self, name: str, default: str) -> str:
        """A rate such as `12000/min` (per s, min, h or d)."""
        text = self.text(name, default).lower().replace(" ", "")
        match = RATE.fullmatch(text)
        if match and int(match[1]) > 0:
            return text
        self.refuse(name, f"must be a rate like 12000/min, not {self._shown(name)}")
        return default

    def items(self, name: str, default: Sequence[str] = ()) -> list[str]:
        """The parts of a comma-separated list, without blanks and empty parts."""
        text = self._raw(name)
        return [part.strip() for part in text.split(",") if part.strip()] if text else list(default)

    def checked(
        self, name: str, default: Sequence[str], wanted: str, accept: Callable[[str], bool]
    ) -> list[str]:
        """The parts of a list, each of which `accept` must like; `wanted` says in words what that is."""
        parts = self.items(name, default)
        bad = [part for part in parts if not accept(part)]
        if not bad:
            return parts
        self.refuse(name, f"must list {wanted}, not {self._shown(name, bad[0])}")
        return list(default)

    def hosts(self, name: str, default: Sequence[str] = ()) -> list[str]:
        """Host names or addresses without scheme and port; `.example.com` covers the names below it."""
        return self.checked(
            name, default, "host names without scheme or port", lambda part: bool(HOST.fullmatch(part))
        )

    def origins(self, name: str) -> list[str]:
        """Web origins, `https://host[:port]` without a path."""
        return self.checked(name, (), "origins like https://app.example.com", _is_origin)

    def networks(self, name: str, default: Sequence[str] = ()) -> list[str]:
        """IP networks in CIDR form, brought to their canonical text."""
        parts = self.checked(name, default, "networks like 10.0.0.0/8", _is_network)
        return [str(ipaddress.ip_network(part, strict=False)) for part in parts]

    def words(self, name: str, default: Sequence[str], allowed: Sequence[str]) -> list[str]:
        """A list of which each part is one of the allowed words."""
        parts = self.checked(name, default, f"only {', '.join(allowed)}", lambda p: p.lower() in allowed)
        return [part.lower() for part in parts]

    def url(self, name: str, schemes: Sequence[str], default: str = "") -> str:
        """An address with one of the schemes and a host; empty when the variable is not set."""
        text = self._raw(name)
        if not text or _has_scheme(text, schemes):
            return text or default
        self.refuse(name, f"must be an address that starts with {' or '.join(s + '://' for s in schemes)}")
        return default

    def zone(self, name: str, default: str) -> str:
        """The name of an IANA time zone."""
        text = self.text(name, default)
        try:
            zoneinfo.ZoneInfo(text)
        except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
            self.refuse(name, f"must be an IANA time zone like Europe/Berlin, not {self._shown(name)}")
            return default
        return text

    def email(self, name: str, default: str = "") -> str:
        """An e-mail address, with or without a display name."""
        text = self.text(name, default)
        address = text.rpartition("<")[2].removesuffix(">") if text.endswith(">") else text
        if text and not EMAIL.fullmatch(address):
            self.refuse(name, f"must be an e-mail address, not {self._shown(name)}")
            return default
        return text

    def path(self, name: str, default: str) -> str:
        """An address path such as `admin/`: no slash in front, one at the end."""
        text = self.text(name, default).strip("/") + "/"
        if re.fullmatch(r"([A-Za-z0-9_~-]+/)+", text):
            return text
        self.refuse(name, f"must be a path like {default}, not {self._shown(name)}")
        return default

    def mail(self, name: str, *, development: bool) -> dict[str, Any]:
        """Django's EMAIL_ settings from an address such as `smtp+tls://user:password@host:587`.

        Without one, mail is written to the console in development and goes to localhost:25 otherwise.
        """
        text = self._raw(name) or ("consolemail://" if development else "smtp://localhost:25")
        try:
            found = environ.Env.email_url_config(text)
        except (ValueError, environ.ImproperlyConfigured):
            self.refuse(name, "must be an address like smtp+tls://user:password@host:587")
            found = environ.Env.email_url_config("dummymail://")
        secure = bool(found.get("EMAIL_USE_SSL"))
        return {
            "EMAIL_BACKEND": found["EMAIL_BACKEND"],
            "EMAIL_HOST": found["EMAIL_HOST"] or "localhost",
            "EMAIL_PORT": found["EMAIL_PORT"] or (465 if secure else 25),
            "EMAIL_HOST_USER": found["EMAIL_HOST_USER"] or "",
            "EMAIL_HOST_PASSWORD": found["EMAIL_HOST_PASSWORD"] or "",
            "EMAIL_USE_TLS": bool(found.get("EMAIL_USE_TLS")),
            "EMAIL_USE_SSL": secure,
        }

    def directory(self, name: str, default: str = "") -> Path | None:
        """A directory, made when missing; relative names start at the project. None when not wanted."""
        text = self.text(name, default)
        if not text:
            return None
        path = (self.root / text).resolve()
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.refuse(
                name, f"{_short(str(path))} is not a directory and cannot be made one ({error.strerror})"
            )
        return path

    def fernet_keys(self, name: str) -> list[str]:
        """Fernet keys (32 bytes in URL-safe base64)."""
        return self.checked(name, (), "Fernet keys (32 bytes in URL-safe base64)", _is_fernet_key)

    def signing_secrets(self, name: str) -> str:
        """Secrets that sign, separated by spaces: plain texts, or `whsec_` and base64."""
        text = self.text(name).strip()
        try:
            if text:
                read_secrets(text)
        except ValueError as error:
            self.refuse(name, str(error))
            return ""
        return text

    def secret(self, name: str, fallback: Mapping[str, str], *, least: int) -> str:
        """A secret of at least `least` characters, from the environment or else from `fallback`."""
        text = self._raw(name) or fallback.get(name, "")
        if not text:
            self.refuse(
                name,
                f"is required in production: a random text of at least {least} characters"
                " (to try things out: SETTINGS_PROFILE=demo, or development)",
            )
        elif len(text) < least:
            self.refuse(name, f"must have at least {least} characters, it has {len(text)}")
        return text

    def _raw(self, name: str) -> str:
        return unquote(self._values.get(name, ""))

    def _shown(self, name: str, part: str | None = None) -> str:
        if SECRET_NAME.search(name):
            return "the given value"
        return _short(self._raw(name) if part is None else part)


def read(environment: Mapping[str, str], *, root: Path, file: str | None = ".env") -> Environment:
    """The environment over the `.env` file in `root` over the profile: what is set and not empty wins."""
    written = read_file(root / file) if file else {}
    given = {name: value for layer in (written, environment) for name, value in layer.items() if value}
    profile = environment.get("SETTINGS_PROFILE", "")
    values = {**PROFILES.get(profile, {}), **given}
    if "NODE_ENV" in given and "APP_ENV" not in given:
        values.pop("APP_ENV", None)  # the place is named, by its other name
    found = Environment(values, root=root)
    if profile not in PROFILES:
        found.refuse("SETTINGS_PROFILE", f"must be one of {', '.join(filter(None, PROFILES))}")
    return found


def read_file(path: Path) -> dict[str, str]:
    """The variables of a `.env` file, in the forms that dotenv tools accept; {} when there is none.

    Blanks around the name and value, `export`, quotes and a ` # comment` behind the value are allowed.
    """
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return {}

    class File(environ.Env):  # type: ignore[misc]  # django-environ has no types
        ENVIRON: dict[str, str] = {}

    lines = (ENV_LINE.fullmatch(line) for line in text.splitlines())
    File.read_env(io.StringIO("\n".join(f"{line[1]}={_without_comment(line[2])}" for line in lines if line)))
    return File.ENVIRON


def unquote(value: str) -> str:
    """The value without blanks and one pair of quotes around it (`docker run --env-file` keeps them)."""
    text = value.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1].strip()
    return text


def _without_comment(value: str) -> str:
    quoted = QUOTED.fullmatch(value)
    if quoted:
        return quoted[1]
    return re.sub(r"(^|\s)#.*", "", value).rstrip()


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _has_scheme(text: str, schemes: Sequence[str]) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme.lower() in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_origin(text: str) -> bool:
    if not _has_scheme(text, ("http", "https")):
        return False
    parts = urlsplit(text)
    return not (parts.path or parts.query or parts.fragment or parts.username)


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _is_fernet_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, altchars=b"-_", validate=True)) == 32
    except (binascii.Error, ValueError):
        return False
