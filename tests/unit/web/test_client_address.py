"""Which address is the caller's."""

from __future__ import annotations

import pytest

from web.middleware import find_client_address


@pytest.mark.parametrize(
    ("forwarded", "proxies", "address"),
    [
        ("203.0.113.9", 0, "10.0.0.1"),
        ("", 1, "10.0.0.1"),
        ("203.0.113.9", 1, "203.0.113.9"),
        ("1.1.1.1, 203.0.113.9", 1, "203.0.113.9"),
        ("1.1.1.1, 203.0.113.9, 10.0.0.7", 2, "203.0.113.9"),
        ("203.0.113.9", 2, "203.0.113.9"),
        ("2001:DB8::1", 1, "2001:db8::1"),
        ("1.1.1.1, <script>", 1, "10.0.0.1"),
        ("unknown", 1, "10.0.0.1"),
        (" , ,", 1, "10.0.0.1"),
    ],
)
def test_only_what_our_own_proxies_appended_is_believed(forwarded: str, proxies: int, address: str) -> None:
    assert find_client_address("10.0.0.1", forwarded, proxies=proxies) == address
