"""What handlers answer, made storable."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executions.output import TEXT_LIMIT, _Cleaner, clean_json, clean_text


@pytest.mark.parametrize("given", ["a\x00b", "a\ud800b"])
def test_what_no_database_stores_is_replaced_and_said(given: str) -> None:
    assert clean_text(given) == ("a\ufffdb", True)


def test_ordinary_text_is_left_alone() -> None:
    assert clean_text("Grüße 🙂\n") == ("Grüße 🙂\n", False)


def test_long_text_is_cut_with_a_mark_within_the_limit_in_bytes() -> None:
    text, altered = clean_text("é" * TEXT_LIMIT)
    assert altered
    assert text.endswith("…[truncated]")
    assert len(text.encode()) <= TEXT_LIMIT


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        pytest.param(10**4300, id="huge"),
        object(),
        {1, 2},
        b"x",
        {"k\x00": 1},
        {"deep": None},
    ],
)
def test_any_value_becomes_json(value: Any) -> None:
    cleaned, _ = clean_json({"value": value})
    json.dumps(cleaned, allow_nan=False)
    assert "\x00" not in json.dumps(cleaned)


def test_depth_and_size_are_bounded() -> None:
    deep: Any = "x"
    for _ in range(100):
        deep = [deep]
    cleaned, altered = clean_json(deep)
    assert altered
    json.dumps(cleaned)
    assert clean_json(["x" * 60_000] * 100) == ({"truncated": True}, True)


def test_a_foreign_object_that_cannot_even_be_printed_is_named() -> None:
    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert clean_json(Hostile()) == ("<Hostile>", True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(codec=None)) | st.integers(), inner)
    ),
)


@given(JSON)
def test_the_short_way_for_plain_values_answers_what_the_long_one_does(value: Any) -> None:
    cleaner = _Cleaner()
    slowly = cleaner.clean(value, 0)

    assert repr(clean_json(value)) == repr((slowly, cleaner.altered))


def test_a_plain_answer_is_copied_and_not_kept() -> None:
    answer = {"rows": [1, 2]}
    cleaned, altered = clean_json(answer)
    answer["rows"].append(3)

    assert (cleaned, altered) == ({"rows": [1, 2]}, False)
