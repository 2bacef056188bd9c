from __future__ import annotations

import socket
import threading
from collections.abc import Sequence

import pytest

from executions.http.errors import CallError, CallStopped, CallTimeout
from executions.http.resolver import Resolver, read_numeric
from executions.http.watch import Watch


def watch(timeout_ms: int = 10_000) -> Watch:
    return Watch(timeout_ms=timeout_ms)


def test_a_name_is_asked_for_and_a_number_is_not() -> None:
    asked = []

    def ask(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return ["1.1.1.1"]

    resolver = Resolver(ask)
    assert resolver.resolve("a.example", 80, watch()) == ["1.1.1.1"]
    assert resolver.resolve("0x7f000001", 80, watch()) == ["127.0.0.1"]
    assert resolver.resolve("::1", 80, watch()) == ["::1"]
    assert asked == [("a.example", 80)]


def test_a_name_is_no_number() -> None:
    assert read_numeric("localhost", 80) is None


@pytest.mark.parametrize(
    "error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")]
)
def test_a_name_without_an_address_is_an_error_that_names_it(error: Exception) -> None:
    def ask(host: str, port: int) -> Sequence[str]:
        raise error

    with pytest.raises(CallError, match=r"cannot resolve gone\.example") as caught:
        Resolver(ask).resolve("gone.example", 80, watch())
    assert caught.value.reason == "error"
    assert not caught.value.permanent


def test_a_name_server_that_hangs_holds_the_call_only_to_its_deadline() -> None:
    hang = threading.Event()
    resolver = Resolver(lambda host, port: [str(hang.wait())])
    with pytest.raises(CallTimeout, match="timeout of 50ms exceeded"):
        resolver.resolve("hang.example", 80, watch(50))
    hang.set()


def test_a_stop_ends_the_wait_for_a_name() -> None:
    hang = threading.Event()
    resolver = Resolver(lambda host, port: [str(hang.wait())])
    with pytest.raises(CallStopped):
        resolver.resolve("hang.example", 80, Watch(timeout_ms=60_000, should_stop=lambda: True))
    hang.set()


def test_calls_for_one_name_share_one_lookup_and_others_go_on() -> None:
    hang = threading.Event()
    asked = []

    def ask(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        if host == "hang.example":
            hang.wait()
        return ["1.1.1.1"]

    resolver = Resolver(ask, max_lookups=2)
    for _ in range(10):
        with pytest.raises(CallTimeout):
            resolver.resolve("hang.example", 80, watch(5))
    assert resolver.resolve("fine.example", 80, watch()) == ["1.1.1.1"]
    assert asked == ["hang.example", "fine.example"]
    hang.set()


def test_the_number_of_lookups_at_once_is_bounded() -> None:
    hang = threading.Event()
    resolver = Resolver(lambda host, port: ["1.1.1.1"] if hang.wait() else [], max_lookups=1)
    with pytest.raises(CallTimeout):
        resolver.resolve("one.example", 80, watch(5))
    with pytest.raises(CallTimeout):
        resolver.resolve("two.example", 80, watch(50))
    hang.set()
    assert resolver.resolve("two.example", 80, watch()) == ["1.1.1.1"]
