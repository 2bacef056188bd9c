"""What leaves and what comes back on calls to well-behaved targets, over real sockets."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from executions.http.adapter import GuardedAdapter, IdleConnections
from executions.http.caller import Caller, Request
from executions.http.connection import Dialer
from executions.http.errors import CallError, CallStopped, CallTimeout, HostBusy, RequestRefused
from executions.http.guard import EgressGuard
from executions.http.politeness import HostGate
from executions.http.resolver import Resolver
from tests.e2e.http_targets import HttpTarget

LOOPBACK = EgressGuard.of(allowed_cidrs=["127.0.0.0/8", "::1"])


@pytest.fixture
def target() -> Iterator[HttpTarget]:
    with HttpTarget() as server:
        yield server


@pytest.fixture
def caller() -> Iterator[Caller]:
    caller = Caller(guard=LOOPBACK, ask=lambda host, port: ["127.0.0.1"])
    yield caller
    caller.close()


def test_the_wire_shows_exactly_the_framed_request(caller: Caller, target: HttpTarget) -> None:
    headers = {"Content-Type": "application/json", "X-Attempt": "1", "X-Odd": "caf\xe9"}
    caller.call(Request(url=target.url("/echo?a=b#c"), headers=headers, body=b'{"a":1}'))
    assert target.requests[0].raw == (
        f"POST /echo?a=b HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\nContent-Length: 7\r\n"
        "Content-Type: application/json\r\nX-Attempt: 1\r\nX-Odd: caf\xe9\r\nAccept-Encoding: identity\r\n"
        '\r\n{"a":1}'
    ).encode("latin-1")


@pytest.mark.parametrize(
    ("method", "length"),
    [("GET", None), ("HEAD", None), ("DELETE", None), ("POST", "0"), ("PUT", "0"), ("PATCH", "0")],
)
def test_every_method_without_a_body_is_framed_as_its_kind(
    caller: Caller, target: HttpTarget, method: str, length: str | None
) -> None:
    answer = caller.call(Request(url=target.url(), method=method))
    assert answer.status_code == 200
    assert answer.body == ("" if method == "HEAD" else '{"ok":true}')
    assert target.requests[0].method == method
    assert target.requests[0].header("Content-Length") == length


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "internal"},
        {"Content-Length": "5"},
        {"Transfer-Encoding": "chunked"},
        {"connection": "upgrade"},
        {"X-A": "a\r\n b"},
        {"X-A": "a\r\nX-Evil: 1"},
        {"X-A\r\nX-Evil": "1"},
        {"X-A": "a\nb"},
        {"X-A": "\u20ac"},
        {"": "x"},
    ],
)
def test_headers_written_past_the_rules_are_refused_before_anything_is_sent(
    caller: Caller, target: HttpTarget, headers: dict[str, str]
) -> None:
    with pytest.raises(RequestRefused) as caught:
        caller.call(Request(url=target.url(), headers=headers))
    assert caught.value.permanent
    assert not caught.value.sent
    assert target.connections == 0


@pytest.mark.parametrize(
    ("url", "method"),
    [
        ("ftp://127.0.0.1/", "GET"),
        ("http://a:b@127.0.0.1/", "GET"),
        ("http://127.0.0.1\\@x/", "GET"),
        ("http://127.0.0.1/", "TRACE"),
        ("http://127.0.0.1/", "GET / HTTP/1.1\r\nX: y"),
    ],
)
def test_a_url_or_method_written_past_the_rules_is_refused(caller: Caller, url: str, method: str) -> None:
    with pytest.raises(RequestRefused):
        caller.call(Request(url=url, method=method))


def test_an_answer_tells_status_reason_body_headers_and_duration(caller: Caller, target: HttpTarget) -> None:
    answer = caller.call(Request(url=target.url("/status/500")))
    assert (answer.status_code, answer.reason_phrase, answer.body) == (500, "Internal Server Error", "status")
    assert answer.failure == "HTTP 500: Internal Server Error"
    assert not answer.is_success
    assert timedelta() < answer.duration < timedelta(seconds=10)
    assert answer.final_url == target.url("/status/500")


def test_retry_after_reaches_whoever_plans_the_retry(caller: Caller, target: HttpTarget) -> None:
    answer = caller.call(Request(url=target.url("/status/429?retryAfter=7")))
    assert answer.headers["retry-after"] == "7"
    assert answer.retry_delay == timedelta(seconds=7)
    assert caller.call(Request(url=target.url("/status/409?retryAfter=7"))).retry_delay == timedelta(
        seconds=7
    )
    assert caller.call(Request(url=target.url("/status/200?retryAfter=7"))).retry_delay is None


def test_a_status_without_words_gets_its_own(caller: Caller, target: HttpTarget) -> None:
    assert caller.call(Request(url=target.url("/mute/503"))).failure == "HTTP 503: Service Unavailable"
    assert caller.call(Request(url=target.url("/mute/599"))).failure == "HTTP 599"


@pytest.mark.parametrize("code", ["204", "304"])
def test_an_answer_without_a_body_keeps_the_connection(caller: Caller, target: HttpTarget, code: str) -> None:
    assert caller.call(Request(url=target.url(f"/status/{code}"))).body == ""
    caller.call(Request(url=target.url()))
    assert target.connections == 1


def test_calls_to_one_origin_share_a_connection(caller: Caller, target: HttpTarget) -> None:
    for _ in range(5):
        caller.call(Request(url=target.url()))
    assert (target.connections, len(target.requests)) == (1, 5)


def test_many_threads_share_few_connections(caller: Caller, target: HttpTarget) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: caller.call(Request(url=target.url(f"/ok?n={n}"))), range(400)))
    assert all(answer.body == '{"ok":true}' for answer in answers)
    assert sorted(int(request.query("n")) for request in target.requests) == list(range(400))
    assert target.connections <= 40


def test_a_connection_that_the_target_closed_while_idle_is_not_used(
    caller: Caller, target: HttpTarget
) -> None:
    for _ in range(10):
        assert caller.call(Request(url=target.url("/close-after"))).is_success
        assert target.hung_up.acquire(timeout=10)
    assert len(target.requests) == 10


def test_a_request_that_may_have_been_seen_is_never_sent_twice(caller: Caller, target: HttpTarget) -> None:
    caller.call(Request(url=target.url("/ok")))
    with pytest.raises(CallError) as caught:
        caller.call(Request(url=target.url("/hang-up")))
    assert caught.value.sent
    assert caught.value.reason == "error"
    assert [request.path for request in target.requests] == ["/ok", "/hang-up"]


def test_idle_connections_are_bounded_over_all_hosts() -> None:
    idle = IdleConnections(max_idle=2)
    adapter = GuardedAdapter(dialer=Dialer(guard=LOOPBACK, resolver=Resolver()), idle=idle)
    with HttpTarget() as one, HttpTarget() as two, HttpTarget() as three, requests.Session() as session:
        session.mount("http://", adapter)
        for target in (one, two, three):
            assert session.post(target.url(), data=b"x", timeout=10).json() == {"ok": True}
        kept = [idle.take(("http", "127.0.0.1", target.port)) for target in (one, two, three)]
        assert [connection is not None for connection in kept] == [False, True, True]
        assert one.hung_up.acquire(timeout=10)
        for connection in kept:
            if connection is not None:
                connection.close()


def test_an_idle_connection_too_old_is_closed(target: HttpTarget) -> None:
    idle = IdleConnections(max_idle_seconds=0.0)
    adapter = GuardedAdapter(dialer=Dialer(guard=LOOPBACK, resolver=Resolver()), idle=idle)
    with requests.Session() as session:
        session.mount("http://", adapter)
        for _ in range(3):
            assert session.get(target.url(), timeout=10).ok
            assert target.hung_up.acquire(timeout=10)
    assert target.connections == 3


def test_a_session_with_the_adapter_is_guarded_too(target: HttpTarget) -> None:
    adapter = GuardedAdapter(dialer=Dialer(guard=EgressGuard.of(), resolver=Resolver()))
    with requests.Session() as session:
        session.mount("http://", adapter)
        with pytest.raises(CallError, match="HTTP_ALLOWED_CIDRS"):
            session.get(target.url(), timeout=10)
    assert target.connections == 0


def test_proxies_of_the_environment_are_ignored(
    caller: Caller, target: HttpTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HttpTarget() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url(""))
        monkeypatch.delenv("no_proxy", raising=False)
        assert caller.call(Request(url=target.url(host="name.example"))).is_success
        assert proxy.connections == 0
    assert target.requests[0].path == "/ok"


def test_the_host_header_names_the_host_and_not_its_address(caller: Caller, target: HttpTarget) -> None:
    caller.call(Request(url=target.url(host="Name.Example.")))
    assert target.requests[0].header("Host") == f"name.example:{target.port}"


def test_ipv6_is_called_by_its_address() -> None:
    with HttpTarget(host="::1") as server:
        caller = Caller(guard=LOOPBACK)
        assert caller.call(Request(url=server.url())).is_success
        caller.close()
        assert server.requests[0].header("Host") == f"[::1]:{server.port}"


def test_the_next_address_is_tried_when_one_refuses(target: HttpTarget) -> None:
    caller = Caller(guard=LOOPBACK, ask=lambda host, port: ["::1", "127.0.0.1"])
    assert caller.call(Request(url=target.url(host="two.example"))).is_success
    caller.close()


def test_a_refused_connection_is_an_error_in_words() -> None:
    with HttpTarget() as server:
        url = server.url()
    caller = Caller(guard=LOOPBACK)
    with pytest.raises(
        CallError, match=r"cannot connect to 127.0.0.1 port \d+: connection refused"
    ) as caught:
        caller.call(Request(url=url + "?token=canary"))
    assert not caught.value.sent
    assert not caught.value.permanent
    assert "canary" not in str(caught.value)


def test_redirects_are_answers_unless_asked_for(caller: Caller, target: HttpTarget) -> None:
    answer = caller.call(Request(url=target.url("/redirect?to=/ok")))
    assert (answer.status_code, answer.headers["location"], answer.redirects) == (302, "/ok", 0)
    answer = caller.call(Request(url=target.url("/redirect?to=/ok"), follow_redirects=True))
    assert (answer.status_code, answer.final_url, answer.redirects) == (200, target.url("/ok"), 1)


def test_a_location_with_blanks_and_umlauts_is_followed(caller: Caller, target: HttpTarget) -> None:
    url = target.url("/redirect?to=/ok/a%20b%C3%BC")
    caller.call(Request(url=url, follow_redirects=True))
    assert target.requests[1].path == "/ok/a%20b%C3%BC"


def test_a_refresh_header_is_never_followed(caller: Caller, target: HttpTarget) -> None:
    assert caller.call(Request(url=target.url("/refresh"), follow_redirects=True)).body == "stay"
    assert len(target.requests) == 1


def test_five_redirects_are_followed_and_no_more(caller: Caller, target: HttpTarget) -> None:
    with pytest.raises(CallError, match="more than 5 redirects"):
        caller.call(Request(url=target.url("/redirect-forever"), follow_redirects=True))
    assert len(target.requests) == 6


@pytest.mark.parametrize(
    ("status", "method", "next_method", "keeps_body"),
    [
        (301, "POST", "GET", False),
        (302, "POST", "GET", False),
        (303, "POST", "GET", False),
        (303, "PUT", "GET", False),
        (303, "HEAD", "HEAD", False),
        (301, "PUT", "PUT", True),
        (302, "GET", "GET", False),
        (307, "POST", "POST", True),
        (308, "PATCH", "PATCH", True),
    ],
)
def test_a_redirect_changes_the_method_as_browsers_do(
    caller: Caller, target: HttpTarget, status: int, method: str, next_method: str, keeps_body: bool
) -> None:
    body = None if method in {"GET", "HEAD"} else b"{}"
    url = target.url(f"/redirect?status={status}&to=/ok")
    headers = {"Content-Type": "application/json"} if body else {}
    caller.call(Request(url=url, method=method, body=body, headers=headers, follow_redirects=True))
    second = target.requests[1]
    assert second.method == next_method
    assert second.body == (b"{}" if keeps_body else b"")
    assert (second.header("Content-Type") is not None) is keeps_body


SECRETS = {
    "Authorization": "Bearer canary",
    "Cookie": "canary",
    "X-Api-Key": "canary",
    "x-auth-token": "canary",
    "webhook-signature": "v1,canary",
}


def test_credentials_stay_behind_when_a_redirect_leaves_the_origin(
    caller: Caller, target: HttpTarget
) -> None:
    headers = {**SECRETS, "Idempotency-Key": "run-1", "X-Trace": "t"}
    with HttpTarget() as other:
        url = target.url(f"/redirect?status=307&to={other.url()}")
        answer = caller.call(Request(url=url, headers=headers, body=b"{}", follow_redirects=True))
    assert (answer.redirects, answer.final_url) == (1, other.url())
    assert b"canary" in target.requests[0].raw
    assert b"canary" not in other.requests[0].raw
    assert other.requests[0].header("Idempotency-Key") == "run-1"
    assert other.requests[0].header("X-Trace") == "t"
    assert other.requests[0].body == b"{}"


def test_credentials_do_not_come_back_when_a_chain_returns_to_its_origin(
    caller: Caller, target: HttpTarget
) -> None:
    with HttpTarget() as other:
        away = quote(other.url(f"/redirect?to={quote(target.url(), safe='')}"), safe="")
        url = target.url(f"/redirect?to={away}")
        answer = caller.call(Request(url=url, headers=SECRETS, follow_redirects=True))
    assert answer.redirects == 2
    assert b"canary" not in target.requests[1].raw


def test_credentials_go_along_within_the_origin(caller: Caller, target: HttpTarget) -> None:
    caller.call(Request(url=target.url("/redirect?to=/ok"), headers=SECRETS, follow_redirects=True))
    assert target.requests[1].header("Authorization") == "Bearer canary"


@pytest.mark.parametrize("to", ["file:///etc/passwd", "gopher://x/", "http://a:b@127.0.0.1/", "//a:b@x/"])
def test_a_redirect_to_what_may_not_be_called_ends_the_call(
    caller: Caller, target: HttpTarget, to: str
) -> None:
    with pytest.raises(RequestRefused, match="URL: "):
        caller.call(Request(url=target.url(f"/redirect?to={to}"), follow_redirects=True))
    assert len(target.requests) == 1


def test_a_gzip_body_that_nobody_asked_for_is_unpacked(caller: Caller, target: HttpTarget) -> None:
    assert caller.call(Request(url=target.url("/gzip"))).body == "zusammengepreßt"


def test_interim_answers_are_passed_over(caller: Caller, target: HttpTarget) -> None:
    assert caller.call(Request(url=target.url("/interim"))).status_code == 200


def test_a_body_may_end_with_its_connection(caller: Caller, target: HttpTarget) -> None:
    assert caller.call(Request(url=target.url("/until-close"))).body == "until the end"


def test_a_stop_ends_a_call_that_waits(caller: Caller, target: HttpTarget) -> None:
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(
            caller.call, Request(url=target.url("/wait"), timeout_ms=60_000), should_stop=stop.is_set
        )
        assert target.waiting.acquire(timeout=10)
        stop.set()
        with pytest.raises(CallStopped) as caught:
            running.result(10)
    assert caught.value.sent


def test_a_host_never_sees_more_calls_at_once_than_its_limit(target: HttpTarget) -> None:
    caller = Caller(guard=LOOPBACK, gate=HostGate(2, patience=0.0))
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(caller.call, Request(url=target.url("/wait"))) for _ in range(2)]
        for _ in running:
            assert target.waiting.acquire(timeout=10)
        with pytest.raises(HostBusy) as caught:
            caller.call(Request(url=target.url()))
        assert not caught.value.sent
        target.release()
        assert all(future.result(10).is_success for future in running)
    assert caller.call(Request(url=target.url())).is_success
    assert target.connections == 2
    caller.close()


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        certificate = self._build(self.name, self.key.public_key(), names=None)
        self.file = folder / "authority.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def serve(self, names: list[x509.GeneralName]) -> ssl.SSLContext:
        """A server's context with a certificate for the names."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "target")])
        certificate = self._build(subject, key.public_key(), names=names)
        file = self.folder / "target.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _build(
        self, subject: x509.Name, key: Any, *, names: list[x509.GeneralName] | None
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), critical=True)
        )
        if names is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_tls_is_verified_by_name_while_the_judged_address_is_dialled(authority: Authority) -> None:
    context = authority.serve(
        [x509.DNSName("secure.example"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    )
    seen: list[str | None] = []
    context.sni_callback = lambda sock, name, _: seen.append(name)
    caller = Caller(guard=LOOPBACK, ask=lambda host, port: ["127.0.0.1"], ca_file=str(authority.file))
    with HttpTarget(tls=context) as server:
        for host in ("secure.example", "secure.example.", "127.0.0.1"):
            for _ in range(2):
                assert caller.call(Request(url=server.url(host=host))).is_success
        assert seen == ["secure.example", None]
        assert server.connections == 2
        assert server.requests[0].header("Host") == f"secure.example:{server.port}"
    caller.close()


def test_a_certificate_for_another_name_is_refused(authority: Authority) -> None:
    context = authority.serve([x509.DNSName("other.example")])
    caller = Caller(guard=LOOPBACK, ask=lambda host, port: ["127.0.0.1"], ca_file=str(authority.file))
    with HttpTarget(tls=context) as server:
        with pytest.raises(CallError, match="certificate refused: Hostname mismatch"):
            caller.call(Request(url=server.url(host="secure.example")))
        assert server.requests == []


def test_a_certificate_of_an_unknown_authority_is_refused(authority: Authority) -> None:
    caller = Caller(guard=LOOPBACK)
    with HttpTarget(tls=authority.serve([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])) as server:
        with pytest.raises(CallError, match="certificate refused") as caught:
            caller.call(Request(url=server.url()))
        assert not caught.value.sent
        assert server.requests == []


def test_a_handshake_that_never_ends_meets_the_deadline(authority: Authority) -> None:
    caller = Caller(guard=LOOPBACK)
    context = authority.serve([x509.DNSName("x")])
    with HttpTarget(tls=context, mute_handshake=True) as server:
        with pytest.raises(CallTimeout, match="timeout of 300ms exceeded") as caught:
            caller.call(Request(url=server.url(), timeout_ms=300), should_stop=lambda: False)
        assert not caught.value.sent


def test_plain_http_behind_an_https_url_is_an_error(caller: Caller, target: HttpTarget) -> None:
    with pytest.raises(CallError, match="TLS failed"):
        caller.call(Request(url=target.url().replace("http:", "https:"), timeout_ms=5000))


def test_a_slow_tls_body_meets_the_deadline(authority: Authority) -> None:
    context = authority.serve([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    caller = Caller(guard=LOOPBACK, ca_file=str(authority.file))
    with HttpTarget(tls=context) as server, pytest.raises(CallTimeout):
        caller.call(Request(url=server.url("/drip-body"), timeout_ms=400), should_stop=lambda: False)
