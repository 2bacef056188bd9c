"""Names, types and refusals of serializers."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from rest_framework import serializers

from web.api.answers import list_problems
from web.api.fields import (
    FlagField,
    IdField,
    MomentField,
    ObjectField,
    TextField,
    WholeField,
    WordField,
    words,
)
from web.api.serializers import StrictSerializer, camelize


class PolicySerializer(StrictSerializer):
    max_retries = WholeField(min_value=0, max_value=10)


class ThingSerializer(StrictSerializer):
    id = IdField(read_only=True)
    display_name = TextField(max_length=5)
    method = WordField(choices=words(["GET", "POST"]), required=False)
    is_active = FlagField(required=False)
    starts_at = MomentField(required=False, allow_null=True)
    other_id = IdField(required=False)
    payload = ObjectField(required=False, max_bytes=30)
    retry_policy = PolicySerializer(required=False)
    policies = PolicySerializer(many=True, required=False)
    tag_names = serializers.ListField(child=TextField(max_length=3), required=False)
    twice = serializers.SerializerMethodField()

    def get_twice(self, thing: Any) -> int:
        return 2 * int(thing.count)

    def validate_display_name(self, name: str) -> str:
        if name == "bad":
            raise serializers.ValidationError("Is bad")
        return name.title()


def refuse(body: object) -> dict[str, str]:
    serializer = ThingSerializer(data=body)
    assert not serializer.is_valid()
    return {problem.field: problem.message for problem in list_problems(serializer.errors)}


@pytest.mark.parametrize(
    ("snake", "camel"),
    [("id", "id"), ("max_retries", "maxRetries"), ("last_24h", "last24h"), ("a_b_c", "aBC")],
)
def test_names_are_camelized(snake: str, camel: str) -> None:
    assert camelize(snake) == camel


def test_a_good_body_arrives_in_snake_case_and_values_keep_their_keys() -> None:
    serializer = ThingSerializer(
        data={
            "displayName": "abc",
            "method": "post",
            "isActive": False,
            "startsAt": "2026-01-20T10:00:00+02:00",
            "otherId": "6f9619ff-8b86-d011-b42d-00c04fc964ff",
            "payload": {"someKey": {"other_key": 1}},
            "retryPolicy": {"maxRetries": 3.0},
        }
    )
    assert serializer.is_valid(), serializer.errors
    assert serializer.validated_data == {
        "display_name": "Abc",
        "method": "POST",
        "is_active": False,
        "starts_at": datetime(2026, 1, 20, 8, tzinfo=UTC),
        "other_id": UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff"),
        "payload": {"someKey": {"other_key": 1}},
        "retry_policy": {"max_retries": 3},
    }


def test_an_answer_is_in_camel_case() -> None:
    thing = SimpleNamespace(
        id=UUID(int=1),
        display_name="x",
        method="GET",
        is_active=True,
        starts_at=datetime(2026, 1, 20, tzinfo=UTC),
        other_id=None,
        payload={"my_key": 1},
        retry_policy={"max_retries": 1},
        policies=[],
        tag_names=["a"],
        count=4,
    )
    assert ThingSerializer(thing).data == {
        "id": "00000000-0000-0000-0000-000000000001",
        "displayName": "x",
        "method": "GET",
        "isActive": True,
        "startsAt": "2026-01-20T00:00:00.000Z",
        "otherId": None,
        "payload": {"my_key": 1},
        "retryPolicy": {"maxRetries": 1},
        "policies": [],
        "tagNames": ["a"],
        "twice": 8,
    }


def test_every_problem_has_its_own_dotted_entry() -> None:
    found = refuse(
        {
            "id": "6f9619ff-8b86-d011-b42d-00c04fc964ff",
            "twice": 1,
            "color": "red",
            "display_name": "snake",
            "method": "BREW",
            "startsAt": "1969-01-01T00:00:00Z",
            "retryPolicy": {"maxRetries": 11, "maxretries": 1},
            "policies": [{"maxRetries": 1}, {}],
            "tagNames": ["abc", "abcd"],
        }
    )
    assert found == {
        "displayName": "Required",
        "id": "Cannot be set",
        "twice": "Cannot be set",
        "color": "Unknown field",
        "display_name": "Unknown field (did you mean displayName?)",
        "method": "Must be one of GET, POST",
        "startsAt": "Must be within the years 1970 to 9998",
        "retryPolicy.maxRetries": "Must be at most 10",
        "retryPolicy.maxretries": "Unknown field (did you mean maxRetries?)",
        "policies.1.maxRetries": "Required",
        "tagNames.1": "Must not be longer than 3 characters",
    }


@pytest.mark.parametrize("body", [None, [], "x", 1, [{"displayName": "x"}]])
def test_a_body_that_is_no_object_is_refused_as_a_whole(body: object) -> None:
    assert list(refuse(body)) == ["body"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("displayName", 5, "Must be text"),
        ("displayName", None, "Must not be null"),
        ("displayName", "  ", "Must not be empty"),
        ("displayName", "bad", "Is bad"),
        ("isActive", "true", "Must be true or false"),
        ("isActive", 1, "Must be true or false"),
        ("method", 1, "Must be one of GET, POST"),
        ("method", ["GET"], "Must be one of GET, POST"),
        ("method", None, "Must not be null"),
        ("startsAt", 0, "Must be a time such as 2026-01-20T10:00:00Z"),
        ("startsAt", "2026-01-20", "Must be a time such as 2026-01-20T10:00:00Z"),
        ("otherId", "6f9619ff8b86d011b42d00c04fc964ff", "Must be a UUID"),
        ("otherId", 7, "Must be a UUID"),
        ("payload", [], "Must be an object"),
        ("payload", {"a": "x" * 30}, "Must not be longer than 30 bytes as JSON"),
        ("tagNames", "abc", "Must be a list"),
    ],
)
def test_a_value_of_another_type_is_refused(field: str, value: object, message: str) -> None:
    assert refuse({"displayName": "x", field: value}) == {field: message}


@pytest.mark.parametrize("value", ["3", True, 1.5, None, [], 10**30])
def test_a_whole_number_is_neither_text_nor_truth_nor_huge(value: object) -> None:
    assert list(refuse({"displayName": "x", "retryPolicy": {"maxRetries": value}})) == [
        "retryPolicy.maxRetries"
    ]


def test_null_clears_a_field_that_allows_it() -> None:
    serializer = ThingSerializer(data={"startsAt": None}, partial=True)
    assert serializer.is_valid()
    assert serializer.validated_data == {"starts_at": None}
