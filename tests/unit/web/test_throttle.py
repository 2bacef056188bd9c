"""Counting requests."""

from __future__ import annotations

import socket

import pytest

from web.api.throttle import LocalCounter, RedisCounter, parse_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [("12000/min", (12000, 60)), ("5/s", (5, 1)), ("1/hour", (1, 3600)), ("9/d", (9, 86400))],
)
def test_a_rate_is_read(text: str, rate: tuple[int, int]) -> None:
    assert parse_rate(text) == rate


def test_text_that_is_no_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="no rate"):
        parse_rate("many")


def test_each_key_is_counted_for_itself_and_anew_in_the_next_window() -> None:
    counter = LocalCounter()
    counts = [counter.add(key, window=1, seconds=60) for key in ("a", "a", "b")]
    assert counts == [1, 2, 1]
    assert counter.add("a", window=2, seconds=60) == 1


def test_a_redis_that_does_not_answer_is_left_alone_for_a_while() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        counter = RedisCounter(f"redis://127.0.0.1:{closed.getsockname()[1]}/0")
        assert counter.add("a", window=1, seconds=60) is None
        asked: list[str] = []
        counter._client.pipeline = lambda **_: asked.append("again")  # type: ignore[method-assign,assignment]
        assert counter.add("a", window=1, seconds=60) is None
        assert asked == []
