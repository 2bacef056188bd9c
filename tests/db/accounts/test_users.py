"""GET /users and PATCH /users/{id}, for staff."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.test import override_settings

from accounts.models import User
from jobs.models import AuditEntry
from tests.db.accounts.people import PASSWORD, Caller, fields_of, make_user

pytestmark = pytest.mark.django_db


def admin() -> User:
    return make_user("admin@example.com", is_staff=True, groups=("admins",))


def test_others_than_staff_may_not_list_users() -> None:
    assert Caller(make_user())("get", "/users").status_code == 403
    for mode in ("required", "optional"):
        with override_settings(AUTH_MODE=mode):
            assert Caller()("get", "/users").status_code == 401
            assert Caller()("patch", f"/users/{uuid.uuid4()}", {}).status_code == 401


def test_staff_list_users_newest_first_in_pages() -> None:
    viewer = make_user("v@example.com", is_staff=True)
    for number in range(12):
        make_user(f"{number}@example.com", created_at=viewer.created_at + timedelta(seconds=number + 1))
    body = Caller(viewer)("get", "/users?limit=5&page=3").json()
    assert body["pagination"] == {"page": 3, "limit": 5, "total": 13, "totalPages": 3}
    assert [user["email"] for user in body["users"]] == ["1@example.com", "0@example.com", "v@example.com"]
    assert "password" not in str(body).lower()


def test_a_bare_list_carries_its_total() -> None:
    response = Caller(admin())("get", "/users?envelope=false")
    assert isinstance(response.json(), list)
    assert response["X-Total-Count"] == "1"


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "page=0", "page=x", "limit=1000000000", "envelope=maybe"]
)
def test_a_bad_page_is_400(query: str) -> None:
    assert list(fields_of(Caller(admin())("get", f"/users?{query}"))) == [query.partition("=")[0]]


def test_a_page_beyond_the_last_is_empty() -> None:
    assert Caller(admin())("get", "/users?page=999999999&limit=100").json()["users"] == []


def test_the_list_takes_the_same_number_of_queries_for_any_number_of_users(
    django_assert_num_queries: Any,
) -> None:
    caller = Caller(admin())
    for number in range(3):
        make_user(f"{number}@example.com", groups=("viewers",))
    with django_assert_num_queries(4):  # caller, count, page, groups
        caller("get", "/users?limit=100")
    for number in range(3, 9):
        make_user(f"{number}@example.com", groups=("viewers", "admins"))
    with django_assert_num_queries(4):
        caller("get", "/users?limit=100")


def test_an_admin_changes_standing_groups_and_name_with_an_audit_entry() -> None:
    user = make_user()
    change = {"isStaff": True, "groups": ["operators", "viewers"], "name": "Countess"}
    response = Caller(admin())("patch", f"/users/{user.pk}", change, **{"x-request-id": "r-1"})
    body = response.json()
    assert response.status_code == 200
    assert (body["isStaff"], body["groups"], body["name"]) == (True, ["operators", "viewers"], "Countess")
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.subject, entry.changed_by, entry.request_id) == (
        "UPDATED", f"user:{user.pk}", "admin@example.com", "r-1"
    )  # fmt: skip
    assert entry.change_details == {
        "is_staff": {"old": False, "new": True},
        "name": {"old": "Ada", "new": "Countess"},
        "groups": {"old": [], "new": ["operators", "viewers"]},
    }


@pytest.mark.parametrize("groups", [(), ("viewers",), ("operators",)])
def test_other_staff_may_not_change_users(groups: tuple[str, ...]) -> None:
    user = make_user()
    staff = make_user("s@example.com", is_staff=True, groups=groups)
    response = Caller(staff)("patch", f"/users/{user.pk}", {"isActive": False})
    assert (response.status_code, response.json()["error"]) == (403, "Forbidden")
    assert "accounts.change_user" in response.json()["message"]
    assert User.objects.get(pk=user.pk).is_active


def test_an_admin_may_not_change_a_superuser() -> None:
    root = User.objects.create_superuser("root@example.com", PASSWORD)
    assert Caller(admin())("patch", f"/users/{root.pk}", {"isActive": False}).status_code == 403
    assert Caller(root)("patch", f"/users/{admin_of(root).pk}", {"name": "x"}).status_code == 200


def admin_of(_root: User) -> User:
    return User.objects.get(email="admin@example.com")


def test_nobody_takes_their_own_access_away() -> None:
    user = admin()
    caller = Caller(user)
    assert caller("patch", f"/users/{user.pk}", {"isActive": False}).status_code == 409
    assert caller("patch", f"/users/{user.pk}", {"isStaff": False}).status_code == 409
    assert caller("patch", f"/users/{user.pk}", {"name": "Me"}).status_code == 200


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"groups": ["viewers", "kings"]}, {"groups.1": "Is no group"}),
        ({"groups": "viewers"}, {"groups": "Must be a list"}),
        ({"isActive": "no"}, {"isActive": "Must be true or false"}),
        ({"email": "b@example.com"}, {"email": "Cannot be set"}),
        ({"isSuperuser": True}, {"isSuperuser": "Unknown field"}),
        ({"password": "12345678"}, {"password": "Unknown field"}),
        ({"createdAt": None}, {"createdAt": "Cannot be set"}),
    ],
)
def test_a_bad_change_is_400_and_changes_nothing(body: dict[str, Any], found: dict[str, str]) -> None:
    user = make_user()
    assert fields_of(Caller(admin())("patch", f"/users/{user.pk}", body)) == found
    assert not AuditEntry.objects.exists()


def test_an_unknown_user_is_404() -> None:
    response = Caller(admin())("patch", f"/users/{uuid.uuid4()}", {})
    assert (response.status_code, response.json()["error"]) == (404, "User not found")
