"""Whatever a job may hold survives the way into a file and back, and no text breaks the reader."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import documents
from jobs.covering import Uncovering, cover_url, cover_value
from jobs.yaml_lines import Unreadable, parse

# What the rules of jobs let through: no NUL, no lone surrogate, finite numbers.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40)
tricky = st.sampled_from(
    [
        "yes",
        "no",
        "null",
        "~",
        "2026-01-01",
        "12:30:45",
        "0o17",
        "1e3",
        ".nan",
        "=",
        "<<",
        "- a",
        "a: b",
        "#",
        "\x85",
        "${A}",
    ]
)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | texts | tricky,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts | tricky, inner, max_size=4),
    max_leaves=20,
)
objects = st.dictionaries(texts | tricky, values, max_size=5)


@given(objects)
def test_any_payload_comes_back_as_it_was(payload: dict[str, Any]) -> None:
    document = {"name": "x", "payload": payload}
    found = parse(documents.write([document])).value
    assert found == {"version": 1, "jobs": [document]}


def parse_or_refuse(text: str) -> list[int]:
    """The lines that reading the text names: of its values, or of the complaint."""
    try:
        return [1, *parse(text).lines.values()]
    except Unreadable as refusal:
        return [refusal.line]


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused_with_a_line(text: str) -> None:
    lines = set(parse_or_refuse(text))
    assert min(lines) >= 1
    assert max(lines) <= text.count("\n") + text.count("\r") + text.count("\x85") + 3


@given(objects)
def test_masked_secrets_come_back_from_what_is_stored(payload: dict[str, Any]) -> None:
    stored = {**payload, "api_key": "s3cret", "deep": [{"token": ["a", 1]}]}
    covered = cover_value(stored, ("payload",), lambda path, value: "***")
    back = Uncovering({})
    assert back.value(covered, stored, ("payload",)) == stored
    assert back.problems == {}


@pytest.mark.parametrize(
    "url", ["https://a/b", "https://a/?x=1&token=%26%3D&y=2#key=v", "https://a?secret=&password=a+b"]
)
def test_masked_parameters_come_back_from_the_stored_address(url: str) -> None:
    covered = cover_url(url, lambda path, value: "***")
    assert Uncovering({}).url(covered, url) == url
