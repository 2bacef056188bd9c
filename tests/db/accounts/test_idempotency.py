"""Idempotency-Key: the first answer again, also for two at once, and nothing half stored."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import close_old_connections, connection
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory

from accounts.idempotency import Answer, answer_once, delete_expired, idempotent
from accounts.models import IdempotencyKey, User
from tests.db.accounts.people import make_user
from web.api.parsers import StrictJSONParser
from web.errors import Conflict, Invalid

pytestmark = pytest.mark.django_db


class Door:
    """A view whose action makes a user, and may then fail."""

    def __init__(self) -> None:
        self.calls = 0
        self.fail = False

    @idempotent
    def create(self, request: Request) -> Response:
        self.calls += 1
        made = make_user(f"made-{self.calls}@example.com")
        if self.fail:
            raise Conflict("no")
        body = {"id": made.pk, "createdAt": made.created_at}
        return Response(body, status=201, headers={"Location": f"/x/{made.pk}"})


def ask(
    door: Door, key: str | None, body: Any = None, *, user: Any = None, path: str = "/api/v1/jobs"
) -> Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    raw = APIRequestFactory().post(path, {"a": 1} if body is None else body, format="json", headers=headers)
    request = Request(raw, parsers=[StrictJSONParser()])
    request.user = user or AnonymousUser()
    response: Response = door.create(request)
    return response


def test_without_the_header_each_request_counts() -> None:
    door = Door()
    ask(door, None)
    ask(door, None)
    assert door.calls == 2
    assert not IdempotencyKey.objects.exists()


def test_the_same_request_gets_its_first_answer_again() -> None:
    door, user = Door(), make_user()
    first = ask(door, "k", {"a": 1, "b": 2}, user=user)
    again = ask(door, "k", {"b": 2, "a": 1}, user=user, path="/jobs")
    assert door.calls == 1
    assert (again.status_code, again.data, again["Location"]) == (201, first.data, first["Location"])


def test_another_body_or_address_under_the_same_key_is_a_conflict() -> None:
    door, user = Door(), make_user()
    ask(door, "k", user=user)
    with pytest.raises(Conflict):
        ask(door, "k", {"a": 2}, user=user)
    with pytest.raises(Conflict):
        ask(door, "k", user=user, path="/api/v1/jobs/1/trigger")
    assert door.calls == 1


def test_users_and_guests_have_keys_of_their_own() -> None:
    door = Door()
    for user in (make_user(), make_user("bob@example.com"), None):
        ask(door, "k", user=user)
        ask(door, "k", user=user)
    assert door.calls == 3


def test_a_refused_request_leaves_nothing_and_may_be_sent_again() -> None:
    door, user = Door(), make_user()
    door.fail = True
    with pytest.raises(Conflict):
        ask(door, "k", user=user)
    assert not IdempotencyKey.objects.exists()
    assert User.objects.count() == 1
    door.fail = False
    assert ask(door, "k", user=user).status_code == 201


@pytest.mark.parametrize("key", ["", "  ", "x" * 256, "ü", "a\tb"])
def test_a_key_that_is_no_plain_text_is_refused(key: str) -> None:
    with pytest.raises(Invalid):
        ask(Door(), key)


def test_after_a_day_the_key_is_free_again() -> None:
    door, user = Door(), make_user()
    ask(door, "k", user=user)
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=23, minutes=59))
    ask(door, "k", user=user)
    assert door.calls == 1
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=24))
    ask(door, "k", {"a": 3}, user=user)
    assert door.calls == 2


def test_expired_keys_are_deleted() -> None:
    ask(Door(), "old")
    now = timezone.now()
    assert delete_expired(now=now) == 0
    assert delete_expired(now=now + timedelta(hours=25)) == 1


def run_in_thread(act: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(act())
        except Exception as error:  # noqa: BLE001 - the test looks at it
            results.append(error)
        finally:
            close_old_connections()
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("winner_fails", [False, True])
def test_of_two_at_once_one_acts_and_the_other_gets_its_answer(winner_fails: bool) -> None:
    inside, go_on = threading.Event(), threading.Event()
    calls = SimpleNamespace(count=0)
    now = timezone.now()

    def act_slowly() -> Answer:
        calls.count += 1
        inside.set()
        assert go_on.wait(20)
        if winner_fails:
            raise Conflict("the first one fails")
        return Answer(status=201, headers={}, body={"by": "first"})

    def act() -> Answer:
        calls.count += 1
        return Answer(status=201, headers={}, body={"by": "second"})

    same = {"user_id": None, "key": "k", "body_hash": "h", "now": now}
    first, first_results = run_in_thread(lambda: answer_once(act=act_slowly, **same))  # type: ignore[arg-type]
    assert inside.wait(20)
    second, second_results = run_in_thread(lambda: answer_once(act=act, **same))  # type: ignore[arg-type]
    go_on.set()
    first.join(30)
    second.join(30)
    if winner_fails:
        assert isinstance(first_results[0], Conflict)
        assert second_results[0].body == {"by": "second"}
        assert calls.count == 2
    else:
        assert first_results[0].body == second_results[0].body == {"by": "first"}
        assert calls.count == 1
    assert IdempotencyKey.objects.count() == 1
