"""Connections that go only where the guard allows and never outlive their deadline."""

from __future__ import annotations

import errno
import ipaddress
import select
import socket
import ssl
from collections.abc import Callable
from typing import Any, cast

import certifi
from urllib3.connection import HTTPConnection, HTTPSConnection

from jobs.http_rules import Target

from .errors import CallError, CallTimeout, EgressDenied
from .guard import EgressGuard
from .resolver import Resolver
from .response import MAX_HEAD_BYTES, BoundedResponse
from .watch import Watch

# A head that fills its bound to the last byte arrives with up to one buffer of the body.
_HEAD_ALLOWANCE = MAX_HEAD_BYTES + 64 * 1024


_NO_CALL = Watch(timeout_ms=0)


class WatchedSocket(socket.socket):
    """A socket that asks the call's watch before every read and write.

    A timeout of the standard library counts from one read to the next; a target that drips
    bytes never meets it.
    """

    watch: Watch

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Receive as ever, within the watch's time and allowance."""
        return _receive(self, super().recv_into, buffer, nbytes, flags)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of it within the watch's time."""
        _send(self, super().send, data)


class WatchedTLSSocket(ssl.SSLSocket):
    """The same for TLS. The handshake happens before there is a watch, under a plain timeout."""

    watch: Watch

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """Receive as ever, within the watch's time and allowance."""
        return _receive(self, super().recv_into, buffer, nbytes, flags)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of it within the watch's time."""
        _send(self, super().send, data)


AnySocket = WatchedSocket | WatchedTLSSocket


def _limit(sock: AnySocket, seconds: float) -> None:
    """Set the timeout; mostly it is set already, and the system call would let go of the GIL."""
    if sock.gettimeout() != seconds:
        sock.settimeout(seconds)


def _receive(
    sock: AnySocket, receive: Callable[..., int], buffer: Any, nbytes: int | None, flags: int
) -> int:
    watch = sock.watch
    while True:
        _limit(sock, watch.step())
        try:
            number = receive(buffer, nbytes, flags)
        except TimeoutError:
            continue
        watch.count_received(number)
        return number


def _send(sock: AnySocket, send: Callable[..., int], data: Any) -> None:
    watch = sock.watch
    rest = memoryview(data)
    while rest:
        _limit(sock, watch.step())
        try:
            number = send(rest)
        except TimeoutError:
            continue
        watch.sent += number
        rest = rest[number:]


def make_tls_context(ca_file: str | None = None) -> ssl.SSLContext:
    """A context that verifies certificates and names, TLS 1.2 or newer.

    It trusts the operating system's authorities (SSL_CERT_FILE and SSL_CERT_DIR may name
    others) and those of certifi; `ca_file` adds more.
    """
    context = ssl.create_default_context()
    context.load_verify_locations(cafile=certifi.where())
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    context.sslsocket_class = WatchedTLSSocket
    return context


class Dialer:
    """Resolves, judges and connects: the address judged is the address connected to."""

    def __init__(self, *, guard: EgressGuard, resolver: Resolver) -> None:
        self._guard = guard
        self._resolver = resolver

    def dial(self, host: str, port: int, watch: Watch) -> WatchedSocket:
        """A connected socket.

        1. Resolve the name, within the deadline.
        2. Judge every answer; one refused address refuses them all.
        3. Connect to the judged addresses in turn, each with an equal share of the time left.
        4. Ask the socket whom it reached, and hang up unless it is the judged address.

        Raises CallError, CallTimeout, CallStopped or EgressDenied.
        """
        addresses = self._guard.judge(host, self._resolver.resolve(host, port, watch))
        for index, address in enumerate(addresses):
            share = watch.left() / (len(addresses) - index)
            try:
                return _connect(address, port, watch, share)
            except OSError as error:
                failure = _word_connect_error(error, host, port)
        raise failure if addresses else CallError(f"cannot resolve {host}: no address")


def _connect(address: str, port: int, watch: Watch, share: float) -> WatchedSocket:
    family, place = _find_place(address, port)
    sock = WatchedSocket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.watch = watch
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _finish_connect(sock, place, watch, share)
        reached = sock.getpeername()[0]
        if reached.partition("%")[0] != place[0]:
            raise EgressDenied(f"egress denied: connected to {reached}, which was not judged")
    except BaseException:
        sock.close()
        raise
    return sock


def _find_place(address: str, port: int) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """What the kernel is told: the judged address by its number, which no resolver is asked about again."""
    try:
        judged = ipaddress.ip_address(address)
    except ValueError:
        raise CallError("the answer of the name server is no address") from None
    if isinstance(judged, ipaddress.IPv4Address):
        return socket.AF_INET, (str(judged), port)
    scope = judged.scope_id or "0"
    number = int(scope) if scope.isdigit() else socket.if_nametoindex(scope)
    return socket.AF_INET6, (_spell(judged), port, 0, number)


def _spell(address: ipaddress.IPv6Address) -> str:
    """The address as the kernel writes it, without its scope."""
    return socket.inet_ntop(socket.AF_INET6, address.packed)


def _finish_connect(sock: WatchedSocket, place: Any, watch: Watch, share: float) -> None:
    sock.setblocking(False)
    code = sock.connect_ex(place)
    if code == errno.EINPROGRESS:
        poll = select.poll()
        poll.register(sock, select.POLLOUT)
        until = watch.elapsed() + share
        while not poll.poll(1000 * min(watch.step(), max(until - watch.elapsed(), 0)) + 1):
            if watch.elapsed() >= until:
                watch.left()
                raise TimeoutError(errno.ETIMEDOUT, "no answer")
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, errno.errorcode.get(code, "error"))


def _word_connect_error(error: OSError, host: str, port: int) -> CallError:
    words = {
        errno.ECONNREFUSED: "connection refused",
        errno.ETIMEDOUT: "no answer to the connection attempt",
        errno.ECONNRESET: "connection reset",
        errno.EHOSTUNREACH: "host unreachable",
        errno.ENETUNREACH: "network unreachable",
        errno.EMFILE: "too many open files in this process",
    }
    code = error.errno or 0
    return CallError(f"cannot connect to {host} port {port}: {words.get(code, f'error {code}')}")


class GuardedConnection(HTTPConnection):
    """urllib3's connection, dialled by the guard; it sends once and reads within bounds."""

    dialer: Dialer
    watch: Watch
    idle_since: float = 0.0

    def _new_conn(self) -> WatchedSocket:
        sock = self.dialer.dial(self._dns_host, self.port, self.watch)
        sock.settimeout(self.watch.left())  # the handshake's, where there is one
        return sock

    def exchange(self, method: str, data: bytes, watch: Watch) -> BoundedResponse:
        """Send one whole request and read the head of its answer, connecting if need be.

        Head and body leave in one piece, so that they share a packet where they fit.
        """
        self.watch = watch
        watch.allow(_HEAD_ALLOWANCE)
        if self.sock is None:
            self._connect(watch)
        sock = cast("AnySocket", self.sock)
        sock.watch = watch
        sock.sendall(data)
        response = BoundedResponse(sock, method=method)
        try:
            response.begin()
        except BaseException:
            response.close()
            raise
        return response

    def rest(self) -> None:
        """Forget the call that is over; what it held on to must not live as long as we do."""
        self.watch = cast("AnySocket", self.sock).watch = _NO_CALL

    def _connect(self, watch: Watch) -> None:
        try:
            self.connect()
        except TimeoutError:
            watch.left()
            raise CallTimeout(watch.timeout_ms) from None


class GuardedTLSConnection(GuardedConnection, HTTPSConnection):
    """The same with TLS; certificate and name are always verified."""


def open_connection(target: Target, *, dialer: Dialer, tls: ssl.SSLContext) -> GuardedConnection:
    """A connection to the target's origin that dials at its first exchange."""
    connection: GuardedConnection
    if target.scheme == "https":
        connection = GuardedTLSConnection(target.host, target.port, ssl_context=tls)
    else:
        connection = GuardedConnection(target.host, target.port)
    connection.dialer = dialer
    return connection
