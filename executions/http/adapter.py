"""The transport adapter of `requests` through which every call leaves.

It pools connections per origin as `requests`' own does, with three differences that need an
adapter of our own: the guard stands at the connect, the deadline covers the whole call, and
idle connections are bounded over all hosts together (thousands of targets, few descriptors).
"""

from __future__ import annotations

import re
import select
import ssl
import threading
import time
from collections import OrderedDict
from http.client import HTTPException, IncompleteRead, RemoteDisconnected
from typing import Any

import requests
from requests.adapters import BaseAdapter
from urllib3.exceptions import HTTPError

from jobs.http_rules import FRAMING_HEADERS, METHODS, RuleError, Target, read_url

from .connection import (
    Dialer,
    GuardedConnection,
    make_tls_context,
    open_connection,
)
from .errors import CallError, RequestRefused
from .response import MAX_WIRE_BYTES, Body, BoundedResponse, read_body
from .watch import BytesExceeded, Watch

Origin = tuple[str, str, int]

# Shorter than the keep-alive of the usual servers (5 s and more), so that a connection is
# seldom taken just when its target hangs up.
MAX_IDLE_SECONDS = 4.0
MAX_IDLE = 256

_HEADER_LINES = re.compile(r"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t\x20-\x7e\x80-\xff]*\r\n)*")


class IdleConnections:
    """Connections that wait for the next call to their origin. Safe to share between threads.

    The one used last is taken first; one idle for over 4 s is closed, and so is the oldest
    when there are more than `max_idle`.
    """

    def __init__(self, *, max_idle: int = MAX_IDLE, max_idle_seconds: float = MAX_IDLE_SECONDS) -> None:
        self._max_idle = max_idle
        self._max_idle_seconds = max_idle_seconds
        self._lock = threading.Lock()
        self._by_origin: dict[Origin, list[GuardedConnection]] = {}
        #: The same connections, oldest first.
        self._by_age: OrderedDict[GuardedConnection, Origin] = OrderedDict()

    def take(self, origin: Origin) -> GuardedConnection | None:
        """An idle connection that its target has not closed, or None."""
        while True:
            with self._lock:
                waiting = self._by_origin.get(origin)
                if not waiting:
                    return None
                connection = waiting.pop()
                if not waiting:
                    del self._by_origin[origin]
                del self._by_age[connection]
            fresh = time.monotonic() - connection.idle_since < self._max_idle_seconds
            if fresh and not _is_dropped(connection):
                return connection
            connection.close()

    def put(self, origin: Origin, connection: GuardedConnection) -> None:
        """Keep the connection for the next call; closes those that are too many or too old."""
        now = connection.idle_since = time.monotonic()
        with self._lock:
            self._by_origin.setdefault(origin, []).append(connection)
            self._by_age[connection] = origin
            spare = self._drop_oldest(now)
        for old in spare:
            old.close()

    def close(self) -> None:
        """Close all of them."""
        with self._lock:
            spare = list(self._by_age)
            self._by_age.clear()
            self._by_origin.clear()
        for connection in spare:
            connection.close()

    def _drop_oldest(self, now: float) -> list[GuardedConnection]:
        spare = []
        while self._by_age:
            oldest = next(iter(self._by_age))
            too_old = now - oldest.idle_since >= self._max_idle_seconds
            if not too_old and len(self._by_age) <= self._max_idle:
                break
            origin = self._by_age.pop(oldest)
            waiting = self._by_origin[origin]
            waiting.remove(oldest)
            if not waiting:
                del self._by_origin[origin]
            spare.append(oldest)
        return spare


def _is_dropped(connection: GuardedConnection) -> bool:
    """Whether the target hung up, or said something that nobody asked for. Asks the kernel, at once."""
    if connection.sock is None:
        return True
    news = select.poll()
    news.register(connection.sock, select.POLLIN)
    return bool(news.poll(0))


class GuardedAdapter(BaseAdapter):
    """Sends prepared requests through guarded, pooled connections.

    Works by itself (`send_within`, then `read`) and mounted in a `requests.Session`. Proxies, and
    everything else in the environment, are ignored; certificates are always verified.
    """

    def __init__(
        self,
        *,
        dialer: Dialer,
        tls: ssl.SSLContext | None = None,
        idle: IdleConnections | None = None,
    ) -> None:
        super().__init__()
        self._dialer = dialer
        self._tls = tls or make_tls_context()
        self._idle = idle or IdleConnections()

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """What a Session calls: the body (at most 1 MiB) is read at once, `timeout` (seconds,
        30 by default) is one deadline over everything. Raises CallError and its kinds."""
        seconds = timeout if isinstance(timeout, (int, float)) else 30.0
        watch = Watch(timeout_ms=int(seconds * 1000))
        request.headers["Accept-Encoding"] = "identity"
        response = self.send_within(request, watch)
        watch.allow(MAX_WIRE_BYTES)
        try:
            response._content = response.raw.read(MAX_WIRE_BYTES)
            self._keep(response)
        except (OSError, HTTPException, BytesExceeded) as error:
            raise _word_error(error, read_url(response.url), watch) from error
        finally:
            self._drop(response)
        return response

    def send_within(self, request: requests.PreparedRequest, watch: Watch) -> requests.Response:
        """Send, and answer once the head is read; `raw` is the BoundedResponse of the body.

        A connection that the target closed while it was idle is found out before it is used;
        if it closes in that very moment, the request is sent again on a new connection only
        when not one byte of it had been accepted. Anything else is an error: the target may
        have acted, and whoever calls again does so with the same Idempotency-Key.
        Raises CallError and its kinds.
        """
        target = _read_target(request.url or "")
        data = _serialize(request, target)
        connection = self._idle.take(target.origin)
        sent_before = watch.sent
        if connection is not None:
            try:
                return self._exchange(connection, request, data, watch)
            except ConnectionError as error:
                if watch.sent > sent_before:
                    raise _word_error(error, target, watch) from error
            except (OSError, HTTPException, HTTPError, BytesExceeded) as error:
                raise _word_error(error, target, watch) from error
        connection = open_connection(target, dialer=self._dialer, tls=self._tls)
        try:
            return self._exchange(connection, request, data, watch)
        except (OSError, HTTPException, HTTPError, BytesExceeded) as error:
            raise _word_error(error, target, watch) from error

    def _exchange(
        self,
        connection: GuardedConnection,
        request: requests.PreparedRequest,
        data: bytes,
        watch: Watch,
    ) -> requests.Response:
        try:
            raw = connection.exchange(request.method or "GET", data, watch)
        except BaseException:
            connection.close()
            raise
        return _make_response(request, raw, connection)

    def read(self, response: requests.Response, watch: Watch) -> Body:
        """Read the body within its bounds; the response is over then. Raises CallError."""
        try:
            body = read_body(response.raw, watch)  # type: ignore[arg-type]
            self._keep(response)
        except (OSError, HTTPException) as error:
            raise _word_error(error, read_url(response.url), watch) from error
        finally:
            self._drop(response)
        return body

    def close(self) -> None:
        """Close the idle connections."""
        self._idle.close()

    def _keep(self, response: requests.Response) -> None:
        """Keep the connection for the next call if the answer was read to its very end."""
        raw: BoundedResponse = response.raw  # type: ignore[assignment]
        connection: GuardedConnection | None = response.connection  # type: ignore[assignment]
        if connection is not None and raw.isclosed() and not raw.will_close:
            response.connection = None  # type: ignore[assignment]
            connection.rest()
            self._idle.put(read_url(response.url).origin, connection)

    def _drop(self, response: requests.Response) -> None:
        """Close the connection unless it was kept."""
        connection: GuardedConnection | None = response.connection  # type: ignore[assignment]
        if connection is not None:
            response.raw.close()
            connection.close()


def _read_target(url: str) -> Target:
    try:
        return read_url(url)
    except RuleError as error:
        raise RequestRefused(f"URL: {error}") from None


def _serialize(request: requests.PreparedRequest, target: Target) -> bytes:
    """The request as it goes on the wire: framing and Host are ours, each header is one line."""
    if request.method not in METHODS:
        raise RequestRefused(f"method must be one of {', '.join(METHODS)}")
    lines = [
        f"{name}: {value}\r\n"
        for name, value in request.headers.items()
        if name.lower() not in FRAMING_HEADERS
    ]
    block = "".join(lines)
    if not _HEADER_LINES.fullmatch(block) or block.count("\r\n") != len(lines):
        raise RequestRefused("headers: a name or value has characters that a header cannot carry")
    body = request.body if isinstance(request.body, bytes) else b""
    framing = f"Content-Length: {len(body)}\r\n" if _has_body(request) else ""
    head = f"{request.method} {target.path} HTTP/1.1\r\nHost: {target.authority}\r\n{framing}{block}\r\n"
    return head.encode("latin-1") + body


def _has_body(request: requests.PreparedRequest) -> bool:
    return request.body is not None or request.method in {"POST", "PUT", "PATCH"}


def _make_response(
    request: requests.PreparedRequest, raw: BoundedResponse, connection: GuardedConnection
) -> requests.Response:
    response = requests.Response()
    response.status_code = raw.status
    response.reason = raw.reason
    response.headers = raw.headers  # type: ignore[assignment]
    response.raw = raw
    response.url = request.url or ""
    response.request = request
    response.connection = connection  # type: ignore[assignment]
    return response


def _word_error(error: Exception, target: Target, watch: Watch) -> CallError:
    """A failure of the network or of the target's HTTP, in words without secrets."""
    sent = watch.sent > 0
    match error:
        case ssl.SSLCertVerificationError():
            what = f"certificate refused: {error.verify_message}"
        case ssl.SSLError():
            what = f"TLS failed: {error.reason or 'handshake'}"
        case RemoteDisconnected():
            what = "the target closed the connection without an answer"
        case IncompleteRead():
            what = "the target closed the connection within the answer"
        case ConnectionError():
            what = "the target reset the connection"
        case BytesExceeded():
            what = "the answer does not end"
        case OSError():
            what = f"connection failed: {error.strerror or 'error'}"
        case _:
            what = f"bad answer: {str(error) or type(error).__name__}"
    return CallError(f"{what} ({target.host} port {target.port})", sent=sent)
