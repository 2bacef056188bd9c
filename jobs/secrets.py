"""Header values under secret names: encrypted where they are stored, `***` where they are shown.

A stored value is either sealed (it begins with `sealed:`) or plain, because SQL may set it so; both are
read. The first of ENCRYPTION_KEYS seals, all of them open.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import transaction

from jobs.models import Job, JobVersion
from web.redaction import MASK, is_secret

SEAL = "sealed:"
STEP = 200


class LostKey(ValueError):
    """A stored value was sealed with a key that ENCRYPTION_KEYS no longer names."""


def reveal(headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """The headers as they are sent, with every sealed value opened.

    Raises LostKey, naming the header, for a value that no key opens: its ciphertext must never leave.
    """
    revealed: dict[str, Any] = {}
    for name, value in (headers or {}).items():
        try:
            revealed[name] = open_text(value) if is_sealed(name, value) else value
        except InvalidToken:
            raise LostKey(
                f"header {name}: its value was sealed with a key that ENCRYPTION_KEYS does not hold"
            ) from None
    return revealed


def seal(headers: Mapping[str, Any], stored: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The headers as they are stored: values under secret names sealed.

    `***` keeps the stored value of that name; so does an equal value, so that nothing changes where
    nothing was changed. What is sealed already stays as it is. Raises ValueError for a `***` that
    stands for nothing.
    """
    known = {name.lower(): value for name, value in (stored or {}).items()}
    sealed: dict[str, Any] = {}
    for name, value in headers.items():
        if not isinstance(value, str) or not is_secret(name) or is_sealed(name, value):
            sealed[name] = value
            continue
        old = known.get(name.lower())
        if value == MASK and old is None:
            raise ValueError(f"{name}: {MASK} keeps a stored value, and there is none")
        sealed[name] = old if value == MASK or _is_same(name, old, value) else seal_text(value)
    return sealed


def masked(headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """The headers as they are shown: `***` for every value under a secret name."""
    return {name: MASK if is_secret(name) else value for name, value in (headers or {}).items()}


def is_sealed(name: str, value: object) -> bool:
    """Whether the value stored under this header name is encrypted."""
    return isinstance(value, str) and value.startswith(SEAL) and is_secret(name)


def rotate() -> int:
    """Seal every stored secret anew with the first key, in short transactions; answers how many changed.

    Jobs first, then their versions. Values that no key opens are left as they are. An older key may
    be dropped from ENCRYPTION_KEYS afterwards.
    """
    changed = 0
    for model, column in ((Job, "headers"), (JobVersion, "definition")):
        last = 0
        while ids := list(_after(model, last)):
            changed += _rotate_rows(model, column, ids)
            last = ids[-1]
    return changed


def _after(model: type[Job] | type[JobVersion], key: int) -> Any:
    return model.objects.filter(id__gt=key).order_by("id").values_list("id", flat=True)[:STEP]


@transaction.atomic
def _rotate_rows(model: type[Job] | type[JobVersion], column: str, ids: list[int]) -> int:
    changed = 0
    for row in model.objects.select_for_update(of=("self",)).filter(id__in=ids).only("id", column):
        value = getattr(row, column)
        headers = value if column == "headers" else value.get("headers")
        fresh = _reseal(headers or {})
        if fresh == (headers or {}):
            continue
        setattr(row, column, fresh if column == "headers" else {**value, "headers": fresh})
        row.save(update_fields=[column])
        changed += 1
    return changed


def _reseal(headers: Mapping[str, Any]) -> dict[str, Any]:
    fresh = {}
    for name, value in headers.items():
        fresh[name] = value
        if isinstance(value, str) and is_secret(name):
            try:
                fresh[name] = seal_text(open_text(value) if is_sealed(name, value) else value)
            except InvalidToken:
                continue
    return fresh


def _is_same(name: str, stored: Any, value: str) -> bool:
    if not is_sealed(name, stored):
        return False
    try:
        return open_text(stored) == value
    except InvalidToken:
        return False


def seal_text(value: str) -> str:
    """The text encrypted by the first of ENCRYPTION_KEYS."""
    return SEAL + _box(tuple(settings.ENCRYPTION_KEYS)).encrypt(value.encode()).decode()


def open_text(value: str) -> str:
    """The text behind a sealed one. Raises InvalidToken where no key of ours sealed it."""
    return _box(tuple(settings.ENCRYPTION_KEYS)).decrypt(value.removeprefix(SEAL).encode()).decode()


@lru_cache(maxsize=8)
def _box(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])
