"""No connection to an address that is not open, counted by a listener and by the interpreter."""

from __future__ import annotations

import errno
import ipaddress
import socket
import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from executions.http.caller import Caller, Request
from executions.http.connection import Dialer
from executions.http.errors import CallError, CallTimeout, EgressDenied
from executions.http.guard import EgressGuard
from executions.http.resolver import Resolver
from executions.http.watch import Watch
from tests.e2e.http_targets import HttpTarget, connects_made

CLOSED = EgressGuard.of()


@pytest.fixture
def target() -> Iterator[HttpTarget]:
    with HttpTarget() as server:
        yield server


def names(**answers: Sequence[str]) -> Resolver:
    return Resolver(lambda host, port: answers[host.split(".")[0]])


@pytest.mark.parametrize(
    "host",
    [
        "0",
        "0.0.0.0",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "①②⑦.⓪.⓪.①",
        "localhost",
        "localhost.",
        "database.internal",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
        "[fe80::1%25lo]",
        "[fec0::1]",
        "[fd00:ec2::254]",
        "169.254.169.254",
        "100.100.100.200",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "192.0.0.1",
        "198.18.0.1",
        "192.88.99.1",
        "224.0.0.1",
        "[ff02::1]",
        "240.0.0.1",
        "127.0.0.1#@1.1.1.1",
    ],
)
def test_no_spelling_of_an_inner_address_in_a_url_is_connected_to(target: HttpTarget, host: str) -> None:
    caller = Caller(guard=CLOSED, ask=lambda host, port: ["127.0.0.1", "::1"])
    bare, _, fragment = host.partition("#")
    url = f"http://{bare}:{target.port}/{'#' + fragment if fragment else ''}"
    with (
        connects_made() as made,
        pytest.raises(EgressDenied, match="HTTP_ALLOWED_HOSTS or HTTP_ALLOWED_CIDRS"),
    ):
        caller.call(Request(url=url, timeout_ms=5000))
    assert made == []
    assert target.connections == 0


@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["169.254.169.254"],
        ["fe80::1%lo"],
        ["1.1.1.1", "127.0.0.1"],
        ["127.0.0.1", "1.1.1.1"],
        ["2606:4700:4700::1111", "127.0.0.1"],
    ],
)
def test_no_inner_address_in_an_answer_of_dns_is_connected_to(target: HttpTarget, answers: list[str]) -> None:
    caller = Caller(guard=CLOSED, ask=lambda host, port: answers)
    with connects_made() as made, pytest.raises(EgressDenied):
        caller.call(Request(url=target.url(host="evil.example"), timeout_ms=5000))
    assert made == []
    assert target.connections == 0


def test_a_name_is_resolved_once_and_its_judged_address_is_the_one_dialled(target: HttpTarget) -> None:
    """A rebinding name server: an open address first, another one for whoever asks again."""
    guard = EgressGuard.of(allowed_cidrs=["127.0.0.1/32"])
    asked = []

    def ask(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    caller = Caller(guard=guard, ask=ask)
    url = target.url("/until-close", host="rebind.example")
    with connects_made() as made:
        assert caller.call(Request(url=url)).is_success
        assert made == [("127.0.0.1", target.port)]
        with pytest.raises(EgressDenied):
            caller.call(Request(url=url))
    assert len(made) == 1
    assert len(asked) == 2


def test_a_rebinding_name_never_reaches_the_other_address_in_many_calls(target: HttpTarget) -> None:
    guard = EgressGuard.of(allowed_cidrs=["127.0.0.1/32"])
    lock = threading.Lock()
    count = 0

    def ask(host: str, port: int) -> list[str]:
        nonlocal count
        with lock:
            count += 1
            return [["127.0.0.1"], ["127.0.0.2"], ["127.0.0.1", "127.0.0.2"]][count % 3]

    caller = Caller(guard=guard, ask=ask)
    outcomes = set()
    with connects_made() as made:
        for _ in range(30):
            try:
                outcomes.add(
                    caller.call(Request(url=target.url("/until-close", host="r.example"))).status_code
                )
            except EgressDenied:
                outcomes.add(0)
    assert outcomes == {200, 0}
    assert {address[0] for address in made} == {"127.0.0.1"}


@pytest.mark.parametrize(
    "to",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/",
        "http://127.0.0.2:1/",
        "http://0x7f000002:1/",
        "//[::1]:1/",
        "http://metadata.example/",
        "https://metadata.example/",
    ],
)
def test_each_hop_of_a_redirect_is_judged_anew(target: HttpTarget, to: str) -> None:
    guard = EgressGuard.of(allowed_hosts=["start.example"])
    answers = {"start.example": ["127.0.0.1"], "metadata.example": ["169.254.169.254"]}
    caller = Caller(guard=guard, ask=lambda host, port: answers[host])
    url = target.url(f"/redirect?to={to}", host="start.example")
    with connects_made() as made, pytest.raises(EgressDenied) as caught:
        caller.call(Request(url=url, follow_redirects=True))
    assert made == [("127.0.0.1", target.port)]
    assert caught.value.permanent
    assert caught.value.sent
    assert caller.call(Request(url=url)).status_code == 302
    caller.close()


def test_an_allowed_name_opens_itself_and_not_its_address(target: HttpTarget) -> None:
    guard = EgressGuard.of(allowed_hosts=["inside.example"])
    caller = Caller(guard=guard, ask=lambda host, port: ["127.0.0.1"])
    assert caller.call(Request(url=target.url(host="inside.example"))).is_success
    with pytest.raises(EgressDenied):
        caller.call(Request(url=target.url()))
    with pytest.raises(EgressDenied):
        caller.call(Request(url=target.url(host="outside.example")))
    assert target.connections == 1
    caller.close()


def test_a_pooled_connection_serves_its_own_name_only(target: HttpTarget) -> None:
    """A refused name must not ride on a connection that an open name left behind."""
    guard = EgressGuard.of(allowed_hosts=["inside.example"])
    caller = Caller(guard=guard, ask=lambda host, port: ["127.0.0.1"])
    caller.call(Request(url=target.url(host="inside.example")))
    with connects_made() as made, pytest.raises(EgressDenied):
        caller.call(Request(url=target.url(host="outside.example")))
    assert made == []
    assert len(target.requests) == 1
    caller.close()


def test_no_resolver_is_asked_again_between_the_judgement_and_the_connection(
    target: HttpTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resolver of the system that answers everything with a public address once, with ours ever after."""
    asked: list[object] = []

    def answer(host: object, port: object, *_: object, **__: object) -> list[object]:
        asked.append(host)
        address = "1.1.1.1" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    dialled: list[object] = []

    def refuse(sock: socket.socket, place: object) -> int:
        dialled.append(place)
        return errno.ECONNREFUSED

    monkeypatch.setattr("executions.http.connection.WatchedSocket.connect_ex", refuse)
    with pytest.raises(CallError, match="refused"):
        Caller(guard=CLOSED).call(Request(url=target.url(host="rebind.example"), timeout_ms=5000))
    assert dialled == [("1.1.1.1", target.port)]
    assert target.connections == 0


def test_the_socket_is_asked_whom_it_reached(target: HttpTarget) -> None:
    dialer = Dialer(guard=EgressGuard.of(allowed_cidrs=["127.0.0.0/8"]), resolver=names(a=["127.0.0.1"]))
    with dialer.dial("a.example", target.port, Watch(timeout_ms=5000)) as sock:
        assert ipaddress.ip_address(sock.getpeername()[0]) == ipaddress.ip_address("127.0.0.1")


def test_an_address_that_was_not_judged_is_hung_up_on(
    target: HttpTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if something between us and the kernel had sent us elsewhere."""
    monkeypatch.setattr("executions.http.connection.WatchedSocket.getpeername", lambda self: ("10.0.0.1", 80))
    caller = Caller(guard=EgressGuard.of(allowed_cidrs=["127.0.0.0/8"]))
    with pytest.raises(EgressDenied, match="not judged"):
        caller.call(Request(url=target.url()))
    assert target.requests == []


def test_dns_that_hangs_holds_a_call_to_its_deadline_and_not_the_next_name(target: HttpTarget) -> None:
    hang = threading.Event()

    def ask(host: str, port: int) -> list[str]:
        if host == "hang.example":
            hang.wait()
        return ["127.0.0.1"]

    caller = Caller(guard=EgressGuard.of(allowed_cidrs=["127.0.0.0/8"]), ask=ask)
    started = time.monotonic()
    with pytest.raises(CallTimeout) as caught:
        caller.call(Request(url=target.url(host="hang.example"), timeout_ms=300))
    assert time.monotonic() - started < 1.3
    assert not caught.value.sent
    assert caller.call(Request(url=target.url(host="fine.example"))).is_success
    hang.set()
    caller.close()


def test_an_address_that_never_answers_holds_a_call_to_its_deadline() -> None:
    """A listener whose queue is full drops the handshake, as a firewall would."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        caller = Caller(guard=EgressGuard.of(allowed_cidrs=["127.0.0.0/8"]))
        started = time.monotonic()
        with pytest.raises(CallTimeout) as caught:
            caller.call(Request(url=f"http://127.0.0.1:{port}/", timeout_ms=400))
        assert time.monotonic() - started < 1.4
        assert not caught.value.sent
        for filler in fillers:
            filler.close()


def test_a_name_that_is_unknown_is_an_error_and_no_denial() -> None:
    def ask(host: str, port: int) -> list[str]:
        raise OSError(-2, "Name or service not known")

    with pytest.raises(CallError) as caught:
        Caller(guard=CLOSED, ask=ask).call(Request(url="http://gone.example/"))
    assert caught.value.reason == "error"
    assert not caught.value.permanent
