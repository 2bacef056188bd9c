"""Idempotency-Key: the same request, sent again within a day, gets its first answer again."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import IdempotencyKey
from web.api.renderers import dump_json
from web.api.routes import CANONICAL
from web.errors import Conflict, Invalid

HEADER = "Idempotency-Key"
MAX_LENGTH = 255
KEY_PATTERN = "^[!-~]([ -~]*[!-~])?$"
KEPT_HEADERS = ("Location",)

Method = TypeVar("Method", bound=Callable[..., Response])


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is told again: status code, headers and body as JSON values."""

    status: int
    headers: dict[str, str]
    body: Any


def idempotent(method: Method) -> Method:
    """Decorate a creating action of a viewset.

    With the header the action and the key commit in one transaction, so a refused or crashed request
    leaves neither; the next one with the key runs anew.
    """

    @functools.wraps(method)
    def run_once(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = read_key(request)
        if key is None:
            return method(view, request, *args, **kwargs)

        def act() -> Answer:
            response = method(view, request, *args, **kwargs)
            headers = {name: response[name] for name in KEPT_HEADERS if response.has_header(name)}
            return Answer(
                status=response.status_code, headers=headers, body=json.loads(dump_json(response.data))
            )

        answer = answer_once(
            user_id=request.user.pk, key=key, body_hash=hash_request(request), now=timezone.now(), act=act
        )
        return Response(answer.body, status=answer.status, headers=answer.headers)

    return run_once  # type: ignore[return-value]


def read_key(request: Request) -> str | None:
    """The key of the request; raises Invalid for one that is empty, too long or not plain text."""
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not key.strip() or len(key) > MAX_LENGTH or not key.isascii() or not key.isprintable():
        raise Invalid({HEADER: f"Must be 1 to {MAX_LENGTH} printable ASCII characters"})
    return key


def hash_request(request: Request) -> str:
    """What must be the same for a key to mean the same: method, address and the body's value."""
    address = request.path_info.removeprefix(CANONICAL)
    body = json.dumps(request.data, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(f"{request.method} {address}\n{body}".encode()).hexdigest()


def answer_once(
    *, user_id: UUID | None, key: str, body_hash: str, now: datetime, act: Callable[[], Answer]
) -> Answer:
    """The answer of `act`, or the first one where this key was used within a day.

    1. The key's row is inserted; its uniqueness decides between requests at the same time, and the loser
       waits in the database for the winner's transaction.
    2. The winner acts and stores its answer, all in that transaction.
    3. The loser reads the answer; a winner that failed left no row, and the loser acts.

    Raises Conflict when the key came with another request.
    """
    with transaction.atomic():
        owner = {"user_id": user_id} if user_id else {"user": None}
        rows = IdempotencyKey.objects.filter(**owner, key=key)
        rows.filter(created_at__lte=now - IdempotencyKey.LIFETIME).delete()
        row = _insert(user_id, key, body_hash)
        if row is not None:
            answer = act()
            row.answer = {"status": answer.status, "headers": answer.headers, "body": answer.body}
            row.save(update_fields=["answer"])
            return answer
        first = rows.get()
        if first.body_hash != body_hash:
            raise Conflict(f"This {HEADER} was used for another request")
        return Answer(**(first.answer or {}))


def delete_expired(*, now: datetime) -> int:
    """Delete the keys that are older than a day; answers how many."""
    deleted, _by_model = IdempotencyKey.objects.filter(created_at__lte=now - IdempotencyKey.LIFETIME).delete()
    return deleted


def _insert(user_id: UUID | None, key: str, body_hash: str) -> IdempotencyKey | None:
    try:
        with transaction.atomic():
            return IdempotencyKey.objects.create(user_id=user_id, key=key, body_hash=body_hash)
    except IntegrityError:
        return None
