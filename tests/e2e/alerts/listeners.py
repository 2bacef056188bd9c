"""Real receivers of alerts: an HTTP server and an SMTP server on loopback, each on a port of its own."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller

PATIENCE = 20.0


@dataclass(frozen=True, kw_only=True)
class Post:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


@dataclass(kw_only=True)
class Inbox:
    """What arrived, and a way to wait for it."""

    items: list[Any] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def put(self, item: Any) -> None:
        with self._changed:
            self.items.append(item)
            self._changed.notify_all()

    def wait_for(self, count: int) -> list[Any]:
        """The first so many; fails when they do not come."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.items) >= count, PATIENCE), self.items
            return list(self.items)


@dataclass(kw_only=True)
class Hook:
    """An HTTP receiver. `answers` is taken from the front, its last status stays; `hold` makes it hang."""

    url: str
    inbox: Inbox = field(default_factory=Inbox)
    answers: list[int] = field(default_factory=lambda: [200])
    hold: threading.Event | None = None
    arrived: threading.Event = field(default_factory=threading.Event)

    @property
    def posts(self) -> list[Post]:
        return self.inbox.items

    def types(self) -> list[str]:
        return [post.body["type"] for post in self.posts]


@contextmanager
def hook() -> Iterator[Hook]:
    """A receiver for webhooks and chat messages."""
    found = Hook(url="")

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found.arrived.set()
            if found.hold is not None:
                found.hold.wait(PATIENCE)
            status = found.answers.pop(0) if len(found.answers) > 1 else found.answers[0]
            found.inbox.put(
                Post(path=self.path, headers={k.lower(): v for k, v in self.headers.items()}, raw=raw)
            )
            try:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
            except OSError:
                pass  # the caller's deadline came first

        def log_message(self, *args: object) -> None:
            """Nothing on the console."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    try:
        yield found
    finally:
        if found.hold is not None:
            found.hold.set()
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE)


@dataclass(kw_only=True)
class MailServer:
    """An SMTP receiver; `refuse` answers a recipient with this line instead of taking the mail."""

    port: int = 0
    inbox: Inbox = field(default_factory=Inbox)
    refuse: str | None = None

    @property
    def mails(self) -> list[EmailMessage]:
        return self.inbox.items

    async def handle_RCPT(  # noqa: N802 - the name is aiosmtpd's
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if self.refuse:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - as above
        self.inbox.put(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 Message accepted"


class _FreePort(Controller):
    """It looks for itself on the port it was given; with 0 the free one is known only afterwards."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


@contextmanager
def mail_server(settings: Any, make: Callable[[], MailServer] = MailServer) -> Iterator[MailServer]:
    """An SMTP server that the mail settings point to."""
    found = make()
    controller = _FreePort(found, hostname="127.0.0.1", port=0)
    controller.start()
    try:
        found.port = controller.port
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", found.port
        settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
        settings.EMAIL_FROM = "scheduler@example.org"
        yield found
    finally:
        controller.stop()
