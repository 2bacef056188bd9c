"""How a message travels: one function per kind of alert."""

from __future__ import annotations

import json
import logging
import smtplib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage

from alerts import addresses
from alerts.messages import Message
from alerts.models import AlertType
from executions import egress
from executions.http.caller import Request
from executions.http.echoes import find_secrets, hide
from executions.http.errors import CallError, HostBusy
from executions.http.signature import sign
from web.redaction import redact

log = logging.getLogger(__name__)

TIMEOUT_MS = 10_000
MAX_ERROR = 500


class NotDelivered(Exception):
    """The message did not arrive; the text is for the operator and holds no secret.

    `permanent`: no further try can help. `unsent`: nothing was tried, there was no room.
    """

    def __init__(
        self,
        message: str,
        *,
        permanent: bool = False,
        unsent: bool = False,
        delay: timedelta | None = None,
    ) -> None:
        super().__init__(redact(message)[:MAX_ERROR])
        self.permanent = permanent
        self.unsent = unsent
        self.delay = delay


def send(kind: str, endpoint: str, message: Message, *, now: datetime) -> None:
    """Send one message to a stored address now; raises NotDelivered where it did not arrive.

    Opens no transaction.
    """
    try:
        address = addresses.check(kind, addresses.reveal(endpoint))
    except ValueError as error:
        raise NotDelivered(f"the endpoint cannot be used: {error}", permanent=True) from None
    _WAYS[kind](address, message, now)


def _send_webhook(endpoint: str, message: Message, now: datetime) -> None:
    body = json.dumps(message.body, separators=(",", ":")).encode("ascii")
    # The same over all tries, signed or not, so that a receiver can tell a repetition.
    headers = {"webhook-id": str(message.id)}
    if settings.WEBHOOK_SECRET.strip():
        headers = sign(
            settings.WEBHOOK_SECRET, message_id=str(message.id), timestamp=int(now.timestamp()), body=body
        )
    _post(endpoint, body, headers | {"Idempotency-Key": str(message.id)})


def _send_slack(endpoint: str, message: Message, now: datetime) -> None:
    # The three signs that Slack reads as markup of its own.
    text = message.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    _post(endpoint, json.dumps({"text": text}).encode("ascii"), {})


def _post(endpoint: str, body: bytes, headers: Mapping[str, str]) -> None:
    url, credentials = addresses.split_credentials(endpoint)
    request = Request(
        url=url,
        headers={
            "Content-Type": "application/json",
            "User-Agent": egress.user_agent(),
            **({"Authorization": credentials} if credentials else {}),
            **headers,
        },
        body=body,
        timeout_ms=TIMEOUT_MS,
    )
    try:
        answer = egress.call(request)
    except HostBusy as error:
        raise NotDelivered(str(error), unsent=True, delay=error.retry_delay) from None
    except CallError as error:
        raise NotDelivered(str(error), permanent=error.permanent, delay=error.retry_delay) from None
    if not answer.is_success:
        secrets_sent = find_secrets(headers=request.headers, url=url)
        raise NotDelivered(hide(answer.failure, secrets_sent), delay=answer.retry_delay)


def _send_mail(endpoint: str, message: Message, now: datetime) -> None:
    host = settings.EMAIL_FROM.rpartition("@")[2] or "localhost"
    mail = EmailMessage(
        subject=message.subject,
        body=message.text,
        from_email=settings.EMAIL_FROM,
        to=[endpoint],
        # The same over all tries, so that a mailbox can tell a repetition.
        headers={"Message-ID": f"<{message.id}@{host}>", "Auto-Submitted": "auto-generated"},
    )
    try:
        mail.send()
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise NotDelivered(_mail_problem(error)) from None


def _mail_problem(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        answers = (f"{code} {_text(words)}" for code, words in error.recipients.values())
        return f"the mail server refused the address: {'; '.join(answers)}"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"the mail server answered {error.smtp_code} {_text(error.smtp_error)}"
    return f"the mail server (EMAIL_URL) could not be used: {str(error) or type(error).__name__}"


def _text(words: Any) -> str:
    return words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)


def _send_by_apprise(endpoint: str, message: Message, now: datetime) -> None:
    import apprise  # heavy, and most installations never send by it

    # One that loads no plugins from disk and reads no files named by the address.
    asset = apprise.AppriseAsset(secure_logging=True, plugin_paths=[], async_mode=False)
    sender = apprise.Apprise(asset=asset)
    if not sender.add(endpoint):
        raise NotDelivered("Apprise cannot read the address", permanent=True)
    try:
        arrived = sender.notify(title=message.subject, body=message.text)
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything, its text may hold the address
        raise NotDelivered(f"Apprise failed: {type(error).__name__}") from None
    if not arrived:
        raise NotDelivered(f"the service {addresses.find_scheme(endpoint)} did not take the message")


_WAYS: dict[str, Callable[[str, Message, datetime], None]] = {
    AlertType.WEBHOOK.value: _send_webhook,
    AlertType.SLACK.value: _send_slack,
    AlertType.EMAIL.value: _send_mail,
    AlertType.APPRISE.value: _send_by_apprise,
}
