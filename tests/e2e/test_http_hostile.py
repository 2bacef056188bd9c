"""Targets that misbehave: the call ends in time, in bounded memory, with the right reason."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from executions.http.caller import Answer, Caller, Request
from executions.http.errors import AnswerTooLarge, CallError, CallTimeout
from executions.http.guard import EgressGuard
from tests.e2e.http_targets import HttpTarget

LOOPBACK = EgressGuard.of(allowed_cidrs=["127.0.0.0/8"])
TIMEOUT_MS = 500
# What the contract gives a slot to be free again after the deadline.
GRACE_SECONDS = 1.0
# The cap of the body, and 4 MiB.
MEMORY = 64 * 1024 + 4 * 1024 * 1024


@pytest.fixture
def target() -> Iterator[HttpTarget]:
    with HttpTarget() as server:
        yield server


@pytest.fixture
def caller() -> Iterator[Caller]:
    caller = Caller(guard=LOOPBACK)
    yield caller
    caller.close()


@pytest.mark.parametrize("stoppable", [True, False])
@pytest.mark.parametrize("path", ["/silent", "/drip-head", "/drip-body", "/drip-chunks"])
def test_a_target_that_drips_or_is_silent_meets_the_deadline(
    caller: Caller, target: HttpTarget, path: str, stoppable: bool
) -> None:
    started = time.monotonic()
    with pytest.raises(CallTimeout, match=f"timeout of {TIMEOUT_MS}ms exceeded") as caught:
        caller.call(
            Request(url=target.url(path), timeout_ms=TIMEOUT_MS),
            should_stop=(lambda: False) if stoppable else None,
        )
    assert time.monotonic() - started < TIMEOUT_MS / 1000 + GRACE_SECONDS
    assert caught.value.reason == "timeout"
    assert caught.value.sent
    assert len(target.requests) == 1


def test_a_target_that_never_reads_meets_the_deadline() -> None:
    """The body is more than the socket buffers of both sides hold."""
    caller = Caller(guard=LOOPBACK)
    with HttpTarget(never_reads=True) as server, pytest.raises(CallTimeout):
        caller.call(Request(url=server.url(), timeout_ms=300, body=b"x" * 50_000_000))


@pytest.mark.parametrize(
    "path",
    [
        "/infinite",
        "/gzip-bomb",
        "/deflate-bomb",
        "/million-chunks",
        "/infinite-chunk-size",
        "/infinite-trailers",
    ],
)
def test_an_answer_without_end_is_cut_in_bounded_memory(
    caller: Caller, target: HttpTarget, path: str
) -> None:
    caller.call(Request(url=target.url("/ok")))
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        answer = _try(caller, target.url(path))
        grown = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert grown < MEMORY
    if path == "/infinite-chunk-size":
        assert isinstance(answer, CallError)
        assert answer.reason == "error"
    else:
        assert isinstance(answer, Answer)
        assert answer.status_code == 200
        assert len(answer.body) <= 5000


@pytest.mark.parametrize(
    "path", ["/gzip-bomb", "/deflate-bomb", "/nested-bomb", "/brotli", "/million-chunks"]
)
def test_packed_and_chopped_bodies_cost_less_than_a_second(
    caller: Caller, target: HttpTarget, path: str
) -> None:
    answer = caller.call(Request(url=target.url(path)))
    before = time.thread_time()
    answer = caller.call(Request(url=target.url(path)))
    assert time.thread_time() - before < 1.0
    assert answer.status_code == 200
    assert answer.truncated


@pytest.mark.parametrize(
    ("size", "truncated"),
    [(0, False), (5000, False), (5001, True), (65_536, True), (65_537, True), (10_000_000, True)],
)
def test_a_body_is_kept_to_five_thousand_characters(
    caller: Caller, target: HttpTarget, size: int, truncated: bool
) -> None:
    answer = caller.call(Request(url=target.url(f"/body/{size}")))
    assert answer.body == "y" * min(size, 5000)
    assert answer.truncated is truncated


def test_a_connection_is_kept_only_when_its_answer_was_read_to_the_end(
    caller: Caller, target: HttpTarget
) -> None:
    caller.call(Request(url=target.url("/body/65536")))
    caller.call(Request(url=target.url("/ok")))
    assert target.connections == 1
    caller.call(Request(url=target.url("/body/1000000")))
    caller.call(Request(url=target.url("/ok")))
    assert target.connections == 2


@pytest.mark.parametrize(("lines", "fits"), [(100, True), (101, False), (1000, False)])
def test_a_hundred_header_lines_fit_and_more_are_too_large(
    caller: Caller, target: HttpTarget, lines: int, fits: bool
) -> None:
    request = Request(url=target.url(f"/headers/{lines}"))
    if fits:
        assert caller.call(request).body == "ok"
        return
    with pytest.raises(AnswerTooLarge, match="100 header lines") as caught:
        caller.call(request)
    assert caught.value.reason == "too_large"


@pytest.mark.parametrize(
    ("size", "fits"), [(60_000, True), (65_000, True), (65_536, False), (5_000_000, False)]
)
def test_sixty_four_kib_of_headers_fit_and_more_are_too_large(
    caller: Caller, target: HttpTarget, size: int, fits: bool
) -> None:
    request = Request(url=target.url(f"/big-headers/{size}"))
    if fits:
        assert caller.call(request).body == "ok"
        return
    with pytest.raises(AnswerTooLarge, match="64 KiB of headers"):
        caller.call(request)


def test_interim_answers_without_end_are_too_large(caller: Caller, target: HttpTarget) -> None:
    with pytest.raises(AnswerTooLarge):
        caller.call(Request(url=target.url("/infinite-interim")))


@pytest.mark.parametrize(
    "path",
    [
        "/reset",
        "/hang-up",
        "/hang-up-in-head",
        "/hang-up-in-body",
        "/hang-up-in-chunk",
        "/no-http",
        "/bad-length",
        "/bad-chunk",
    ],
)
def test_an_answer_that_breaks_off_or_is_no_http_is_one_error(
    caller: Caller, target: HttpTarget, path: str
) -> None:
    with pytest.raises(CallError) as caught:
        caller.call(Request(url=target.url(path + "?token=canary"), timeout_ms=5000))
    assert type(caught.value) is CallError
    assert caught.value.reason == "error"
    assert caught.value.sent
    assert not caught.value.permanent
    assert "canary" not in str(caught.value)
    assert f"127.0.0.1 port {target.port}" in str(caught.value)
    assert len(target.requests) == 1


@pytest.mark.parametrize("path", ["/two-framings", "/surplus"])
def test_a_second_answer_smuggled_behind_the_first_is_never_taken_for_ours(
    caller: Caller, target: HttpTarget, path: str
) -> None:
    assert caller.call(Request(url=target.url(path))).status_code == 200
    for _ in range(3):
        assert caller.call(Request(url=target.url("/ok"))).status_code == 200


def test_nul_and_bytes_that_are_no_text_are_replaced(caller: Caller, target: HttpTarget) -> None:
    body = caller.call(Request(url=target.url("/nul"))).body
    assert body.startswith("a\ufffdb\ufffd\ufffd c")
    assert "\x00" not in body
    body.encode("utf-8")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("iso-8859-1", "grün"),
        ('"windows-1252"', "grün"),
        ("utf-8", "gr\ufffdn"),
        ("punycode", "gr\ufffdn"),
        ("hex", "gr\ufffdn"),
        ("no-such-charset", "gr\ufffdn"),
    ],
)
def test_a_charset_is_believed_when_it_is_a_plain_one(
    caller: Caller, target: HttpTarget, name: str, text: str
) -> None:
    assert caller.call(Request(url=target.url(f"/charset?name={name}"))).body == text


def test_a_body_that_cannot_be_unpacked_is_left_out_of_an_answer_that_stands(
    caller: Caller, target: HttpTarget
) -> None:
    answer = caller.call(Request(url=target.url("/bad-gzip")))
    assert (answer.status_code, answer.body, answer.truncated) == (200, "", True)


def test_odd_header_lines_do_not_hide_the_others(caller: Caller, target: HttpTarget) -> None:
    answer = caller.call(Request(url=target.url("/odd-headers")))
    assert answer.headers["x-folded"] == "one two"
    assert answer.headers["x-twice"] == "1, 2"
    assert answer.body == "ok"
    caller.call(Request(url=target.url("/ok")))
    assert target.connections == 2


def test_the_next_call_to_a_hostile_target_is_as_good_as_the_first(
    caller: Caller, target: HttpTarget
) -> None:
    for path in ("/infinite", "/hang-up", "/headers/1000", "/bad-chunk"):
        _try(caller, target.url(path))
        assert caller.call(Request(url=target.url("/ok"))).body == '{"ok":true}'


def _try(caller: Caller, url: str) -> Answer | CallError:
    try:
        return caller.call(Request(url=url))
    except CallError as error:
        return error
