from __future__ import annotations

import pytest

from executions.http.errors import EgressDenied
from executions.http.guard import EgressGuard, is_own_address
from executions.http.resolver import read_numeric
from jobs.http_rules import read_url

CLOSED = EgressGuard(is_own=lambda address: False)

REFUSED_ADDRESSES = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.0",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "168.63.129.16",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::7f00:1",
    "::808:808",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "2002:7f00:1::",
    "2002:808:808::1",
    "2001:0:7f00:1::",
    "2001::1",
    "2001:2::1",
    "2001:db8::1",
    "3fff::1",
    "100::1",
    "5f00::1",
    "4000::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%lo",
    "2606:4700:4700::1111%lo",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
PUBLIC_ADDRESSES = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.254",
    "100.128.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "198.17.255.255",
    "198.20.0.1",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001:81c::200e",
    "64:ff9b::101:101",
]


@pytest.mark.parametrize("address", REFUSED_ADDRESSES)
def test_an_address_that_is_not_global_unicast_is_refused(address: str) -> None:
    with pytest.raises(EgressDenied) as caught:
        CLOSED.judge("name.example", [address])
    assert "HTTP_ALLOWED_HOSTS" in str(caught.value)
    assert "HTTP_ALLOWED_CIDRS" in str(caught.value)
    assert caught.value.permanent
    assert caught.value.reason == "egress_denied"


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_a_public_address_passes(address: str) -> None:
    assert CLOSED.judge("name.example", [address]) == [address]


@pytest.mark.parametrize(
    "host",
    [
        "0",
        "0.0.0.0",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::7f00:1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "fe80::1%lo",
        "fec0::1",
        "fd00:ec2::254",
    ],
)
def test_every_spelling_of_an_address_is_judged_by_what_it_means(host: str) -> None:
    addresses = read_numeric(host, 80)
    assert addresses is not None
    with pytest.raises(EgressDenied):
        CLOSED.judge(host, addresses)


@pytest.mark.parametrize(
    "answers",
    [
        ["1.1.1.1", "127.0.0.1"],
        ["127.0.0.1", "1.1.1.1"],
        ["2606:4700:4700::1111", "10.0.0.1"],
        ["1.1.1.1", "::1"],
        ["1.1.1.1", "no address"],
    ],
)
def test_one_refused_answer_refuses_them_all(answers: list[str]) -> None:
    with pytest.raises(EgressDenied):
        CLOSED.judge("mixed.example", answers)


def test_an_ipv4_address_in_ipv6_clothes_is_the_ipv4_address() -> None:
    assert CLOSED.judge("x", ["::ffff:1.1.1.1"]) == ["::ffff:101:101"]


def test_the_order_of_the_answers_is_kept_and_doubles_are_dropped() -> None:
    assert CLOSED.judge("x", ["8.8.8.8", "1.1.1.1", "8.8.8.8"]) == ["8.8.8.8", "1.1.1.1"]


def test_a_refusal_does_not_tell_the_inner_address() -> None:
    with pytest.raises(EgressDenied) as caught:
        CLOSED.judge("db.example", ["10.20.30.40"])
    assert "10.20.30.40" not in str(caught.value)
    assert "private" in str(caught.value)


def test_a_network_opens_its_addresses_and_no_others() -> None:
    guard = EgressGuard.of(allowed_cidrs=["127.0.0.0/8", "fd00::/8", " 10.1.2.3 "])
    assert guard.judge("a", ["127.0.0.1", "fd00::1", "10.1.2.3"]) == ["127.0.0.1", "fd00::1", "10.1.2.3"]
    assert guard.judge("a", ["::ffff:127.0.0.1"]) == ["::ffff:7f00:1"]
    for address in ("10.1.2.4", "::1", "fc00::1", "2002:7f00:1::", "::7f00:1"):
        with pytest.raises(EgressDenied):
            guard.judge("a", [address])


def test_an_open_ipv4_network_also_opens_its_nat64_form() -> None:
    guard = EgressGuard.of(allowed_cidrs=["10.0.0.0/8"])
    assert guard.judge("a", ["64:ff9b::a00:1"]) == ["64:ff9b::a00:1"]


@pytest.mark.parametrize(
    "host", ["intra.example", "INTRA.example.", "a.b.corp", "x.lan", "10.0.0.9", "faß.example"]
)
def test_an_allowed_name_may_lead_anywhere(host: str) -> None:
    guard = EgressGuard.of(allowed_hosts=["Intra.Example", "*.corp", ".lan", "10.0.0.9", "faß.example"])
    wire = read_url(f"http://{host}/").host
    assert guard.judge(wire, ["10.0.0.9"]) == ["10.0.0.9"]


@pytest.mark.parametrize("host", ["example", "xintra.example", "corp", "lan", "a.intra.example", "10.0.0.8"])
def test_another_name_than_an_allowed_one_stays_closed(host: str) -> None:
    guard = EgressGuard.of(allowed_hosts=["intra.example", "*.corp", ".lan", "10.0.0.9"])
    with pytest.raises(EgressDenied):
        guard.judge(host, ["10.0.0.9"])


@pytest.mark.parametrize("entry", ["", "*", "http://x", "a/b", "user@h", "h:80", "a*b"])
def test_an_allowed_host_that_is_no_name_is_refused_by_name(entry: str) -> None:
    with pytest.raises(ValueError, match="HTTP_ALLOWED_HOSTS"):
        EgressGuard.of(allowed_hosts=[entry])


@pytest.mark.parametrize("entry", ["", "300.0.0.0/8", "10.0.0.0/33", "example.com"])
def test_an_allowed_network_that_is_none_is_refused_by_name(entry: str) -> None:
    with pytest.raises(ValueError, match="HTTP_ALLOWED_CIDRS"):
        EgressGuard.of(allowed_cidrs=[entry])


def test_this_hosts_own_public_address_is_refused_unless_opened() -> None:
    guard = EgressGuard.of()
    own = EgressGuard(is_own=lambda address: address == "8.8.8.8")
    with pytest.raises(EgressDenied, match="own"):
        own.judge("me.example", ["8.8.8.8"])
    assert own.judge("other.example", ["8.8.4.4"]) == ["8.8.4.4"]
    opened = EgressGuard(networks=EgressGuard.of(allowed_cidrs=["8.8.8.8"]).networks, is_own=own.is_own)
    assert opened.judge("me.example", ["8.8.8.8"]) == ["8.8.8.8"]
    assert guard.is_own is is_own_address


def test_the_kernel_knows_which_addresses_are_its_own() -> None:
    assert is_own_address("127.0.0.1")
    assert not is_own_address("192.0.2.1")
