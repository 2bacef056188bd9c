"""Signatures in the Standard Webhooks form (HMAC-SHA256, `v1`).

The text signed is `<webhook-id>.<webhook-timestamp>.<body>`. While a secret is being rotated
there are several, separated by spaces, and one signature is sent for each.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

PREFIX = "whsec_"
TOLERANCE_SECONDS = 5 * 60


class BadSignature(Exception):
    """The message was not signed with any of the secrets, or not within five minutes of now."""


def sign(secrets: str, *, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers for a message.

    `secrets` are separated by spaces: `whsec_` + base64, or any plain text used as it is.
    `timestamp` is in seconds since 1970. Raises ValueError when there is no secret, or one that
    starts with `whsec_` is not base64.
    """
    keys = read_secrets(secrets)
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = (base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def verify(secrets: str, headers: Mapping[str, str], body: bytes, *, now: float) -> None:
    """What a receiver does: raises BadSignature unless one signature fits one of the secrets.

    `now` is in seconds since 1970; older or newer messages than five minutes are refused.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        timestamp = int(given["webhook-timestamp"])
        expected = sign(secrets, message_id=given["webhook-id"], timestamp=timestamp, body=body)[
            "webhook-signature"
        ].split()
        offered = given["webhook-signature"].split()
    except (KeyError, ValueError):
        raise BadSignature("webhook headers are missing or unreadable") from None
    if abs(now - timestamp) > TOLERANCE_SECONDS:
        raise BadSignature("the message is too old or from the future")
    if not any(hmac.compare_digest(one.encode(), other.encode()) for one in expected for other in offered):
        raise BadSignature("no signature fits")


def read_secrets(secrets: str) -> list[bytes]:
    """The keys behind the texts. Raises ValueError as `sign` does; it never shows a secret."""
    keys = [_read_secret(text) for text in secrets.split()]
    if not keys:
        raise ValueError("no secret to sign with")
    return keys


def _read_secret(text: str) -> bytes:
    if not text.startswith(PREFIX):
        return text.encode()
    encoded = text.removeprefix(PREFIX)
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a secret that starts with whsec_ must be base64") from None
    if not key:
        raise ValueError("a secret that starts with whsec_ must not be empty")
    return key
