"""What is no HTTP is refused by the server itself, before Django: with the same body as everything else."""

from __future__ import annotations

import json
import logging
import socket
import uuid

from web.errors import WORDS

logger = logging.getLogger(__name__)

STILL_SENDING = 0.5  # seconds to take an answer for


def write_error(sock: socket.socket, status: int, reason: str, message: str) -> None:
    """Answer a request that could not be read, in place of gunicorn's page of HTML.

    `message` may repeat the request, so it is shortened and goes into JSON, never into a log.
    """
    request_id = str(uuid.uuid4())
    error = WORDS.get(status, reason)
    details = [{"field": "request", "message": message[:200] or reason}] if status == 400 else []
    body = {
        "error": error,
        "message": "The request is not HTTP as we read it" if status == 400 else message[:200] or reason,
        "details": details,
        "statusCode": status,
        "path": "",
        "requestId": request_id,
    }
    content = json.dumps(body, separators=(",", ":")).encode()
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"X-Request-ID: {request_id}\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    sock.settimeout(STILL_SENDING)
    sock.sendall(head.encode("latin-1") + content)
    logger.warning("refused what is no HTTP with %d, request %s", status, request_id)
