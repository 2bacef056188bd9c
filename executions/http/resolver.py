"""Names to addresses, without letting a name server hold a slot.

`getaddrinfo` cannot be given a deadline, so it runs in a daemon thread that the caller stops
waiting for. Callers that ask for the same name share one lookup, and a bounded number of
lookups run at once: a hundred jobs on a dead name cost one thread.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence

from .errors import CallError
from .watch import STOP_INTERVAL, Watch

Resolve = Callable[[str, int], Sequence[str]]
MAX_LOOKUPS = 64


def ask_system(host: str, port: int) -> list[str]:
    """The addresses of a name as the operating system answers; raises OSError."""
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


def read_numeric(host: str, port: int) -> list[str] | None:
    """The address that `host` spells in any numeric form (`127.1`, `0x7f000001`), else None.

    The C library reads it, as it would when connecting, so no form is understood differently.
    """
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


class _Lookup:
    def __init__(self) -> None:
        self.done = threading.Event()
        self.addresses: Sequence[str] = ()
        self.error: Exception | None = None


class Resolver:
    """Resolves in threads of its own. Safe to share between threads."""

    def __init__(self, ask: Resolve = ask_system, *, max_lookups: int = MAX_LOOKUPS) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], _Lookup] = {}
        self._places = threading.BoundedSemaphore(max_lookups)

    def resolve(self, host: str, port: int, watch: Watch) -> list[str]:
        """All addresses of the host, within the call's deadline.

        Raises CallError when the name has none, CallTimeout or CallStopped from the watch.
        """
        numeric = read_numeric(host, port)
        if numeric is not None:
            return numeric
        lookup = self._join_lookup(host, port, watch)
        while not lookup.done.wait(watch.step()):
            pass
        if lookup.error is not None:
            raise CallError(f"cannot resolve {host}: {_explain(lookup.error)}")
        if not lookup.addresses:
            raise CallError(f"cannot resolve {host}: no address")
        return list(lookup.addresses)

    def _join_lookup(self, host: str, port: int, watch: Watch) -> _Lookup:
        """The lookup of this name that runs already, or a new one once a place is free."""
        key = (host, port)
        while True:
            with self._lock:
                known = self._running.get(key)
                if known is not None:
                    return known
                if self._places.acquire(blocking=False):
                    return self._start_lookup(key)
            # Seldom: max_lookups names hang at once. Look again when a place may be free.
            if self._places.acquire(timeout=min(watch.step(), STOP_INTERVAL)):
                self._places.release()

    def _start_lookup(self, key: tuple[str, int]) -> _Lookup:
        lookup = self._running[key] = _Lookup()
        threading.Thread(target=self._run_lookup, args=(key, lookup), name="resolve", daemon=True).start()
        return lookup

    def _run_lookup(self, key: tuple[str, int], lookup: _Lookup) -> None:
        try:
            lookup.addresses = self._ask(*key)
        except (OSError, UnicodeError, ValueError) as error:
            lookup.error = error
        finally:
            with self._lock:
                del self._running[key]
            self._places.release()
            lookup.done.set()


def _explain(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "not a valid name"
