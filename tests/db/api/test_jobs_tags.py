"""Tags: GET, POST /tags; PATCH, DELETE /tags/{id}; GET, PUT /jobs/{id}/tags."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from jobs.models import AuditEntry, Tag
from tests.db.api.jobs import NO_ID, Caller, answer, create, fields_of, make_user, trail

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Caller:
    return Caller(make_user())


@pytest.fixture
def bob() -> Caller:
    return Caller(make_user("bob@example.com"))


def test_a_tag_is_made_with_its_limits(ada: Caller) -> None:
    response = ada("post", "/tags", {"name": " mail ", "maxConcurrent": 2, "rateLimitPerMinute": 60})
    body = answer(response, 201)
    assert response["Location"] == f"/api/v1/tags/{body.pop('id')}"
    assert body == {
        "name": "mail",
        "description": None,
        "maxConcurrent": 2,
        "rateLimitPerMinute": 60,
        "jobCount": 0,
    }
    assert AuditEntry.objects.filter(subject__startswith="tag:", action="CREATED").count() == 1


def test_a_name_is_unique_per_owner(ada: Caller, bob: Caller) -> None:
    tag = answer(ada("post", "/tags", {"name": "mail"}), 201)
    other = answer(ada("post", "/tags", {"name": "ops"}), 201)
    assert ada("post", "/tags", {"name": "mail"}).status_code == 409
    assert ada("patch", f"/tags/{other['id']}", {"name": "mail"}).status_code == 409
    assert answer(ada("patch", f"/tags/{tag['id']}", {"name": "mail"}))["name"] == "mail"
    answer(bob("post", "/tags", {"name": "mail"}), 201)
    assert Tag.objects.count() == 3


def test_tags_tell_how_many_jobs_have_them_deleted_ones_left_out(ada: Caller) -> None:
    create(ada, tags=["a", "b"])
    gone = create(ada, tags=["a"])
    ada("delete", f"/jobs/{gone['id']}")
    body = answer(ada("get", "/tags"))
    assert {tag["name"]: tag["jobCount"] for tag in body["tags"]} == {"a": 1, "b": 1}
    assert (body["total"], body["pagination"]["totalPages"]) == (2, 1)


def test_null_takes_a_limit_away_and_a_new_name_shows_on_the_jobs(ada: Caller) -> None:
    job = create(ada, tags=["old"])
    tag = answer(ada("get", "/tags"))["tags"][0]
    ada("patch", f"/tags/{tag['id']}", {"maxConcurrent": 3})
    body = answer(ada("patch", f"/tags/{tag['id']}", {"maxConcurrent": None, "name": "new"}))
    assert (body["maxConcurrent"], body["name"], body["jobCount"]) == (None, "new", 1)
    assert answer(ada("get", f"/jobs/{job['id']}"))["tags"] == ["new"]


def test_a_deleted_tag_leaves_all_its_jobs(ada: Caller) -> None:
    job = create(ada, tags=["a", "b"])
    tag = Tag.objects.get(name="a")
    assert ada("delete", f"/tags/{tag.pk}").status_code == 204
    assert answer(ada("get", f"/jobs/{job['id']}"))["tags"] == ["b"]
    assert ada("delete", f"/tags/{tag.pk}").status_code == 404
    assert AuditEntry.objects.filter(subject=f"tag:{tag.pk}", action="DELETED").exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "n", "maxConcurrent": 0}, "maxConcurrent"),
        ({"name": "n", "rateLimitPerMinute": 6001}, "rateLimitPerMinute"),
        ({"name": "n", "jobCount": 5}, "jobCount"),
        ({"name": "n", "userId": NO_ID}, "userId"),
    ],
)
def test_a_bad_tag_is_400(ada: Caller, body: dict[str, Any], field: str) -> None:
    assert list(fields_of(ada("post", "/tags", body))) == [field]
    assert not Tag.objects.exists()


def test_the_tags_of_a_job_are_replaced_whole(ada: Caller) -> None:
    job = create(ada, tags=["a", "b"])
    body = answer(ada("put", f"/jobs/{job['id']}/tags", {"tags": ["b", "c", "b"]}))
    assert body["tags"] == ["b", "c"]
    listed = answer(ada("get", f"/jobs/{job['id']}/tags"))
    assert [tag["name"] for tag in listed["tags"]] == ["b", "c"]
    assert trail(job)[-1] == ("UPDATED", "ada@example.com")
    for bad in (None, "a", [""], [5], ["x" * 101], ["t"] * 21):
        found = fields_of(ada("put", f"/jobs/{job['id']}/tags", {"tags": bad}))
        assert [name.partition(".")[0] for name in found] == ["tags"]


def test_the_tags_of_others_are_nobodys_business(ada: Caller, bob: Caller) -> None:
    job = create(ada, tags=["a"])
    tag = Tag.objects.get()
    assert bob("patch", f"/tags/{tag.pk}", {"name": "x"}).status_code == 404
    assert bob("delete", f"/tags/{tag.pk}").status_code == 404
    assert bob("put", f"/jobs/{job['id']}/tags", {"tags": []}).status_code == 404
    assert answer(bob("get", "/tags"))["total"] == 0
    viewer = Caller(make_user("v@example.com", groups=("viewers",), is_staff=True))
    assert answer(viewer("get", "/tags"))["total"] == 1
    assert viewer("delete", f"/tags/{tag.pk}").status_code == 403
    assert viewer("put", f"/jobs/{job['id']}/tags", {"tags": []}).status_code == 403
    admin = Caller(make_user("admin@example.com", groups=("admins",), is_staff=True))
    answer(admin("put", f"/jobs/{job['id']}/tags", {"tags": ["z"]}))
    assert Tag.objects.get(name="z").user_id == tag.user_id


@override_settings(AUTH_MODE="optional")
def test_guests_share_the_tags_of_nobody(ada: Caller) -> None:
    create(Caller(), tags=["a"])
    assert Caller()("post", "/tags", {"name": "a"}).status_code == 409
    assert answer(Caller()("get", "/tags"))["total"] == 1
    assert answer(ada("get", "/tags"))["total"] == 0


def test_the_number_of_queries_does_not_grow_with_the_tags(ada: Caller) -> None:
    create(ada, tags=["a"])

    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            answer(ada("get", "/tags?limit=100"))
        return len(queries)

    few = count()
    create(ada, tags=[f"t{number}" for number in range(20)])
    assert count() == few == 3
