"""Hostile JSON is refused with a reason, harmless JSON is left as it is."""

from __future__ import annotations

import pytest

from web.errors import Invalid
from web.strictjson import check_json, parse_json


def nest(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


@pytest.mark.parametrize(
    ("raw", "field", "reason"),
    [
        (b"", "body", "Malformed JSON"),
        (b"{", "body", "Malformed JSON"),
        (b'{"a":1,}', "body", "Malformed JSON"),
        (b"{'a':1}", "body", "Malformed JSON"),
        (b'{"a":1} x', "body", "Malformed JSON"),
        (b"\xef\xbb\xbf{}", "body", "byte order mark"),
        (b'{"a":"\xff"}', "body", "UTF-8"),
        ('{"a":1}'.encode("utf-16"), "body", "UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', "body", "UTF-8"),
        (b'{"a":NaN}', "body", "NaN"),
        (b'{"a":-Infinity}', "body", "Infinity"),
        (b'{"a":1e400}', "body", "finite"),
        (b'{"a":' + b"9" * 4301 + b"}", "body", "4300 digits"),
        (b'{"a":-' + b"9" * 200_000 + b"}", "body", "4300 digits"),
        (b'{"a":0.' + b"1" * 5000 + b"}", "body", "4300 digits"),
        (b'{"a":"x\\u0000y"}', "a", "NUL"),
        (b'{"payload":{"list":[1,{"deep":"\\u0000"}]}}', "payload.list.1.deep", "NUL"),
        (b'{"payload":{"x\\u0000":1}}', "payload", "Key: Must not contain a NUL"),
        (b'{"a":"\\ud800"}', "a", "surrogate"),
        (b'{"a":"\\uDFFF"}', "a", "surrogate"),
        (b'{"\\ud800":1}', "body", "surrogate"),
        (b'"\\u0000"', "body", "NUL"),
        (b'{"a":"raw \x00"}', "body", "Malformed JSON"),
        (nest(33), "a.a.a", "deeper than 32"),
        (nest(900), "a.a.a", "deeper than 32"),
        (b"[" * 100_000, "body", "deeper than 32"),
        (nest(100_000), "body", "deeper than 32"),
    ],
)
def test_hostile_json_is_refused_under_its_field(raw: bytes, field: str, reason: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_json(raw)
    problem = refused.value.problems[0]
    assert problem.field.startswith(field)
    assert reason in problem.message


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"{}", {}),
        (b"null", None),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'{"a":"\\\\u0000"}', {"a": "\\u0000"}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "😀"}),
        (b'{"a":' + b"9" * 4300 + b"}", {"a": 10**4300 - 1}),
        (b'{"a":1e308}', {"a": 1e308}),
        ("[" * 32 + "]" * 32, None),
        (b"[" + b"[]," * 100 + b"[]]", [[]] * 101),
    ],
)
def test_harmless_json_is_read(raw: bytes | str, value: object) -> None:
    parsed = parse_json(raw.encode() if isinstance(raw, str) else raw)
    if value is not None:
        assert parsed == value


def test_nesting_of_exactly_32_is_read_and_33_is_not() -> None:
    assert parse_json(nest(32))
    with pytest.raises(Invalid):
        parse_json(nest(33))


def test_every_bad_text_gets_its_own_entry() -> None:
    with pytest.raises(Invalid) as refused:
        parse_json(b'{"a":"\\u0000","b":"ok","c":"\\ud800"}')
    assert {problem.field for problem in refused.value.problems} == {"a", "c"}


def test_a_value_made_in_python_is_held_to_the_same_rules() -> None:
    check_json({"a": [1.5, "x", None, True]})
    with pytest.raises(Invalid, match="a: Must be a finite number"):
        check_json({"a": float("inf")})
