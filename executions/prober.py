"""Asks the database without ever waiting long for it: a connection of its own, in a thread of its own."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import load_backend

Answer = TypeVar("Answer")

PATIENCE = 0.7  # seconds; what asks promises an answer within one
STATEMENT_MS = 600


class Silent(Exception):
    """The database did not answer in time, or refused."""


class Prober(Generic[Answer]):
    """Runs one question at a time; who asks meanwhile gets the same answer.

    So callers that come while the database hangs do not pile up threads and connections: there is one of
    each, and it is given up by those who wait after PATIENCE seconds. With `keep`, a good answer is also
    that of who asks within so many seconds after it: many monitors then cost one connection a second.
    """

    def __init__(self, question: Callable[[], Answer], *, keep: float = 0.0) -> None:
        self._question = question
        self._keep = keep
        self._lock = threading.Lock()
        self._asked: Future[Answer] | None = None
        self._answered_at = 0.0

    def ask(self, *, patience: float = PATIENCE) -> Answer:
        """The answer to the question. Raises Silent after `patience` seconds, or where the database fails."""
        with self._lock:
            future = self._asked
            if future is None or (future.done() and not self._is_fresh(future)):
                future = self._asked = Future()
                arguments = (future, connections[DEFAULT_DB_ALIAS].settings_dict)
                threading.Thread(target=self._run, args=arguments, name="prober", daemon=True).start()
        try:
            return future.result(timeout=patience)
        except Exception as error:
            raise Silent(str(error) or "the database does not answer") from error

    def forget(self) -> None:
        """Ask anew next time, however young the answer is."""
        with self._lock:
            self._asked = None

    def _is_fresh(self, answered: Future[Answer]) -> bool:
        young = time.monotonic() < self._answered_at + self._keep
        return young and answered.exception() is None

    def _run(self, future: Future[Answer], settings: dict[str, Any]) -> None:
        own = connect(settings)
        connections[DEFAULT_DB_ALIAS] = own
        try:
            answer = self._question()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the answer
            future.set_exception(error)
        else:
            self._answered_at = time.monotonic()
            future.set_result(answer)
        finally:
            own.close()
            del connections[DEFAULT_DB_ALIAS]


def connect(settings: dict[str, Any]) -> BaseDatabaseWrapper:
    """A connection to the same database that is in no pool and gives up soon. It connects when it is used."""
    changed = copy.deepcopy({name: value for name, value in settings.items() if name != "OPTIONS"})
    options = {name: value for name, value in settings.get("OPTIONS", {}).items() if name != "pool"}
    changed["CONN_HEALTH_CHECKS"] = False
    if connection.vendor == "postgresql":
        limit = f"-c statement_timeout={STATEMENT_MS}"
        options |= {"connect_timeout": 2, "tcp_user_timeout": 1000}
        if "options" in options:
            options["options"] = f"{options['options']} {limit}"
    else:
        options["timeout"] = STATEMENT_MS / 1000
    wrapper: BaseDatabaseWrapper = load_backend(settings["ENGINE"]).DatabaseWrapper(
        changed | {"OPTIONS": options}, DEFAULT_DB_ALIAS
    )
    return wrapper
