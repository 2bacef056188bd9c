"""One outgoing call, from a URL to a bounded answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Self
from urllib.parse import urljoin

import requests

from jobs.http_rules import FRAMING_HEADERS, RuleError, is_secret, read_url

from .adapter import GuardedAdapter
from .connection import Dialer, make_tls_context
from .errors import CallError, CallStopped, RequestRefused
from .guard import EgressGuard
from .politeness import Breaker, Host, HostGate, read_retry_after
from .resolver import Resolve, Resolver, ask_system
from .response import Body
from .watch import Watch

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Of the secret-looking names these two are no credentials and go along to another origin.
_NO_CREDENTIALS = frozenset({"idempotency-key", "x-idempotency-key"})
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_BODY_HEADERS = frozenset({"content-type", "content-encoding", "content-language"})


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to send. Nothing is added but Host, Content-Length and `Accept-Encoding: identity`."""

    url: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    #: One deadline over waiting for the host, resolve, connect, TLS, headers and body.
    timeout_ms: int = 30_000
    follow_redirects: bool = False
    #: Counts from 1; first attempts make the rate that retries are paced by.
    attempt: int = 1


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back, whatever its status."""

    status_code: int
    reason_phrase: str
    #: At most 5,000 characters, NUL and undecodable bytes replaced by U+FFFD.
    body: str
    #: Whether anything of the body was left out.
    truncated: bool
    headers: Mapping[str, str]
    duration: timedelta
    #: The URL that answered: the request's, or where redirects led. May hold query secrets.
    final_url: str
    redirects: int = 0
    #: What a retry should wait at least: Retry-After, or the host's pace after failures.
    retry_delay: timedelta | None = None

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status_code < 300

    @property
    def failure(self) -> str:
        """How a status other than 2xx is reported, as `HTTP 500: Internal Server Error`."""
        phrase = self.reason_phrase.replace("\x00", "\ufffd")[:200] or _PHRASES.get(self.status_code, "")
        return f"HTTP {self.status_code}: {phrase}" if phrase else f"HTTP {self.status_code}"


class Caller:
    """Makes calls. One per process and guard, made after any fork; safe to share between threads.

    `max_per_host` is HTTP_MAX_PER_HOST. `ask` resolves names (the system's resolver by
    default); `ca_file` names certificate authorities to trust besides the system's.
    """

    def __init__(
        self,
        *,
        guard: EgressGuard,
        max_per_host: int = 0,
        ask: Resolve = ask_system,
        ca_file: str | None = None,
        gate: HostGate | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        dialer = Dialer(guard=guard, resolver=Resolver(ask))
        self._adapter = GuardedAdapter(dialer=dialer, tls=make_tls_context(ca_file))
        self._gate = gate or HostGate(max_per_host)
        self._breaker = breaker or Breaker()

    def call(self, request: Request, *, should_stop: Callable[[], bool] | None = None) -> Answer:
        """Send the request and answer what came back, whatever its status.

        The call ends at its deadline, also when the target drips or never answers, and
        within a quarter of a second after `should_stop` becomes true. Redirects are answers
        unless `follow_redirects` is set: then at most five are followed, each judged anew.
        Raises CallError or one of its kinds.
        """
        watch = Watch(timeout_ms=request.timeout_ms, should_stop=should_stop)
        try:
            return self._follow(request, watch)
        except CallError as error:
            error.sent = error.sent or watch.sent > 0  # by an earlier hop
            raise

    def _follow(self, request: Request, watch: Watch) -> Answer:
        hop = _Hop.of(request)
        redirects = 0
        while True:
            response, body, retry_delay = self._call_host(hop, request, watch)
            location = response.headers.get("location")
            if not (request.follow_redirects and response.status_code in _REDIRECTS and location):
                break
            if redirects == MAX_REDIRECTS:
                raise CallError(f"more than {MAX_REDIRECTS} redirects", sent=True)
            redirects += 1
            hop = hop.follow(location, response.status_code)
        return Answer(
            status_code=response.status_code,
            reason_phrase=response.reason or "",
            body=body.text,
            truncated=body.truncated,
            headers=response.headers,
            duration=timedelta(seconds=watch.elapsed()),
            final_url=hop.url,
            redirects=redirects,
            retry_delay=retry_delay,
        )

    def close(self) -> None:
        """Close the idle connections; calls in flight go on."""
        self._adapter.close()

    def _call_host(
        self, hop: _Hop, request: Request, watch: Watch
    ) -> tuple[requests.Response, Body, timedelta | None]:
        """One exchange with one host, counted by its gate and its breaker."""
        host = hop.host
        self._gate.enter(host, watch)
        entered = watch.elapsed()
        try:
            self._breaker.count_call(host, time.monotonic(), first=request.attempt == 1)
            response = self._adapter.send_within(hop.prepare(), watch)
            body = self._adapter.read(response, watch)
        except CallError as error:
            if not error.permanent and not isinstance(error, CallStopped):
                error.retry_delay = self._breaker.note_failure(host, time.monotonic())
            raise
        finally:
            self._gate.leave(host, held=watch.elapsed() - entered)
        return response, body, self._judge_status(host, response)

    def _judge_status(self, host: Host, response: requests.Response) -> timedelta | None:
        status = response.status_code
        asked = None if 200 <= status < 300 else read_retry_after(response.headers, datetime.now(UTC))
        if status < 500 and status != 429:
            self._breaker.note_success(host, time.monotonic())
            return asked
        return self._breaker.note_failure(host, time.monotonic(), asked=asked)


@dataclass(frozen=True, kw_only=True)
class _Hop:
    """One request of a chain of redirects; the first is the caller's own."""

    url: str
    method: str
    headers: Mapping[str, str]
    body: bytes | None
    host: Host

    @classmethod
    def of(cls, request: Request) -> Self:
        """The first hop. Raises RequestRefused for a URL or headers that cannot be sent."""
        headers = dict(request.headers)
        names = {name.lower() for name in headers}
        if not FRAMING_HEADERS.isdisjoint(names):
            raise RequestRefused("headers: Host and framing are set by the scheduler itself")
        if "accept-encoding" not in names:
            headers["Accept-Encoding"] = "identity"
        return cls(
            url=request.url,
            method=request.method,
            headers=headers,
            body=request.body,
            host=_find_host(request.url),
        )

    def prepare(self) -> requests.PreparedRequest:
        """The request as the adapter takes it; everything in it is already in its final form."""
        prepared = requests.PreparedRequest()
        prepared.method = self.method
        prepared.url = self.url
        prepared.headers = self.headers  # type: ignore[assignment]
        prepared.body = self.body
        return prepared

    def follow(self, location: str, status: int) -> Self:
        """The next hop, by the rules of browsers.

        303 turns everything but HEAD into GET, 301 and 302 turn POST into GET, and a body that
        is not sent on takes its headers with it; 307 and 308 change nothing. Credentials stay
        behind when scheme, host or port change. Raises RequestRefused.
        """
        # Header text is Latin-1; targets mean UTF-8, and some leave blanks unescaped.
        location = location.encode("latin-1").decode("utf-8", errors="replace")
        url = urljoin(self.url, location.strip().replace(" ", "%20"))
        to_get = (status == 303 and self.method != "HEAD") or (status in {301, 302} and self.method == "POST")
        headers = self.headers
        if to_get:
            headers = {k: v for k, v in headers.items() if k.lower() not in _BODY_HEADERS}
        if _find_origin(url) != _find_origin(self.url):
            headers = {k: v for k, v in headers.items() if not _is_credential(k)}
        return type(self)(
            url=url,
            method="GET" if to_get else self.method,
            headers=headers,
            body=None if to_get else self.body,
            host=_find_host(url),
        )


def _find_origin(url: str) -> tuple[str, str, int]:
    try:
        return read_url(url).origin
    except RuleError as error:
        raise RequestRefused(f"URL: {error}") from None


def _find_host(url: str) -> Host:
    _, name, port = _find_origin(url)
    return name, port


def _is_credential(name: str) -> bool:
    lower = name.lower()
    return lower == "webhook-signature" or (is_secret(name) and lower not in _NO_CREDENTIALS)
