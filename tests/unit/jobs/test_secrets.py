"""Header values under secret names."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from django.test import override_settings

from jobs import secrets

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def test_only_values_under_secret_names_are_sealed() -> None:
    sealed = secrets.seal({"Authorization": "a", "X-API-Key": "b", "X-Team": "c"})
    assert sealed["X-Team"] == "c"
    assert all(sealed[name].startswith("sealed:") for name in ("Authorization", "X-API-Key"))
    assert secrets.reveal(sealed) == {"Authorization": "a", "X-API-Key": "b", "X-Team": "c"}


def test_sealing_twice_seals_once() -> None:
    sealed = secrets.seal({"Cookie": "a"})
    assert secrets.seal(sealed) == sealed


def test_stars_and_equal_values_keep_what_is_stored_whatever_the_case_of_the_name() -> None:
    stored = secrets.seal({"X-Token": "a"})
    assert secrets.seal({"x-token": "***"}, stored) == {"x-token": stored["X-Token"]}
    assert secrets.seal({"X-Token": "a"}, stored) == stored
    assert secrets.reveal(secrets.seal({"X-Token": "b"}, stored)) == {"X-Token": "b"}


def test_stars_for_nothing_are_refused_and_under_other_names_they_are_a_value() -> None:
    with pytest.raises(ValueError, match=r"X-Token: \*\*\* keeps a stored value"):
        secrets.seal({"X-Token": "***"})
    assert secrets.seal({"X-Team": "***"}) == {"X-Team": "***"}


def test_a_plain_value_that_sql_set_is_read() -> None:
    assert secrets.reveal({"X-Token": "plain"}) == {"X-Token": "plain"}


def test_every_key_opens_and_the_first_seals() -> None:
    with override_settings(ENCRYPTION_KEYS=[OLD]):
        stored = secrets.seal({"X-Token": "a"})
    with override_settings(ENCRYPTION_KEYS=[NEW, OLD]):
        assert secrets.reveal(stored) == {"X-Token": "a"}
        fresh = secrets.seal({"X-Token": "b"})
    with override_settings(ENCRYPTION_KEYS=[NEW]):
        assert secrets.reveal(fresh) == {"X-Token": "b"}


def test_a_value_that_no_key_opens_never_leaves_as_it_is() -> None:
    with override_settings(ENCRYPTION_KEYS=[OLD]):
        stored = secrets.seal({"X-Token": "a"})
    with override_settings(ENCRYPTION_KEYS=[NEW]), pytest.raises(secrets.LostKey, match="X-Token"):
        secrets.reveal(stored)


def test_what_is_shown_is_stars() -> None:
    shown = secrets.masked({"Authorization": "a", "X-Team": "b", "api-KEY": ""})
    assert shown == {"Authorization": "***", "X-Team": "b", "api-KEY": "***"}
    assert secrets.masked(None) == {}
