"""Users and keys in the admin."""

from __future__ import annotations

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from accounts.models import ApiToken, User
from jobs.models import AuditEntry
from tests.db.accounts.people import PASSWORD, Caller, make_user

pytestmark = pytest.mark.django_db


def browse(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="accounts.backends.StaffBackend")
    return client


def admin() -> User:
    return make_user("admin@example.com", is_staff=True, groups=("admins",))


def form_of(user: User, **changes: object) -> dict[str, object]:
    return {"email": user.email, "name": user.name, "is_active": "on"} | changes


def test_a_user_logs_in_by_email_and_password() -> None:
    admin()
    client = Client()
    response = client.post(
        "/admin/login/?next=/admin/", {"username": "Admin@example.com", "password": PASSWORD}
    )
    assert (response.status_code, response["Location"]) == (302, "/admin/")


@pytest.mark.parametrize("path", ["user/", "user/add/", "apitoken/", "apitoken/add/"])
def test_every_page_is_shown_to_admins(path: str) -> None:
    user = admin()
    ApiToken.objects.create(user=user, name="k", token_hash="0" * 64)
    assert browse(user).get(f"/admin/accounts/{path}").status_code == 200
    assert browse(user).get(f"/admin/accounts/user/{user.pk}/change/").status_code == 200


def test_staff_without_a_group_look_and_change_nothing() -> None:
    viewer, user = make_user("v@example.com", is_staff=True), make_user()
    client = browse(viewer)
    assert client.get("/admin/accounts/user/").status_code == 200
    path = f"/admin/accounts/user/{user.pk}/change/"
    assert client.get(path).status_code == 200
    assert client.post(path, form_of(user, name="changed")).status_code == 403
    assert User.objects.get(pk=user.pk).name == "Ada"


def test_an_admin_adds_a_user_whose_email_is_kept_in_lower_case() -> None:
    form = {"email": "New@Example.com", "name": "New", "usable_password": "true", "password1": "a long word", "password2": "a long word"}  # fmt: skip
    response = browse(admin()).post("/admin/accounts/user/add/", form)
    assert response.status_code == 302
    assert User.objects.get(email="new@example.com").check_password("a long word")
    assert AuditEntry.objects.get().action == "CREATED"
    assert "a long word" not in str(AuditEntry.objects.values())


def test_a_change_is_audited_without_secrets() -> None:
    user = make_user()
    response = browse(admin()).post(f"/admin/accounts/user/{user.pk}/change/", form_of(user, name="New"))
    assert response.status_code == 302
    entry = AuditEntry.objects.get()
    assert (entry.subject, entry.changed_by) == (f"user:{user.pk}", "admin@example.com")
    assert entry.change_details == {"name": {"old": "Ada", "new": "New"}}


def test_an_admin_makes_nobody_a_superuser_and_touches_none() -> None:
    user, root = make_user(), User.objects.create_superuser("root@example.com", PASSWORD)
    client = browse(admin())
    client.post(f"/admin/accounts/user/{user.pk}/change/", form_of(user, is_superuser="on"))
    assert not User.objects.get(pk=user.pk).is_superuser
    assert client.post(f"/admin/accounts/user/{root.pk}/change/", form_of(root)).status_code == 403
    assert client.post(f"/admin/accounts/user/{root.pk}/password/", {}).status_code == 403
    assert client.post(f"/admin/accounts/user/{root.pk}/delete/", {"post": "yes"}).status_code == 403


def test_a_password_set_in_the_admin_ends_older_tokens() -> None:
    user = make_user()
    caller = Caller(user)
    path = f"/admin/accounts/user/{user.pk}/password/"
    form = {"usable_password": "true", "password1": "a long word", "password2": "a long word"}
    assert browse(admin()).post(path, form).status_code == 302
    assert caller("get", "/auth/me").status_code == 401


def test_a_new_key_is_shown_once_and_is_ones_own() -> None:
    user = admin()
    client = browse(user)
    response = client.post("/admin/accounts/apitoken/add/", {"name": "nightly"})
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    key = re.findall(r"sk_[\w-]{43}", response.content.decode())[0]
    assert Caller(token=key)("get", "/auth/me").json()["email"] == user.email
    assert ApiToken.objects.count() == 1
    assert key not in str(client.cookies)
    assert key not in str(list(LogEntry.objects.values()))
    assert key not in client.get("/admin/accounts/apitoken/").content.decode()


def test_a_key_is_revoked_by_deleting_it() -> None:
    user = admin()
    client = browse(user)
    key = ApiToken.objects.create(user=user, name="k", token_hash="0" * 64)
    response = client.post(f"/admin/accounts/apitoken/{key.pk}/delete/", {"post": "yes"})
    assert response.status_code == 302
    assert not ApiToken.objects.exists()
