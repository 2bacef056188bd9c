"""What happens to a request before it is routed, and to an answer before it leaves.

The order in MIDDLEWARE is the order here.
"""

from __future__ import annotations

import ipaddress
import math
import re
import socket
import time
import uuid
from collections.abc import Callable
from io import BytesIO

from django.conf import settings
from django.http import HttpRequest, HttpResponsePermanentRedirect
from django.http.response import HttpResponse, HttpResponseBase
from gunicorn.http.errors import ParseException

from web import logcontext
from web.api import answers
from web.errors import Invalid, PayloadTooLarge
from web.strictjson import BODY

GetResponse = Callable[[HttpRequest], HttpResponseBase]

PIECE = 16 * 1024
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,100}", re.ASCII)


class RequestIdMiddleware:
    """Names the request: by X-Request-ID where it is sane, else anew. Log lines and the answer carry it."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get("X-Request-ID", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())
        request.request_id = request_id  # type: ignore[attr-defined]
        with logcontext.bound(request_id=request_id):
            response = self.get_response(request)
        response["X-Request-ID"] = request_id
        return response


class ClientAddressMiddleware:
    """Makes REMOTE_ADDR the caller's own address, as far as TRUSTED_PROXIES are to be believed."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if settings.TRUSTED_PROXIES:
            forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
            request.META["REMOTE_ADDR"] = find_client_address(
                request.META.get("REMOTE_ADDR", ""), forwarded, proxies=settings.TRUSTED_PROXIES
            )
        return self.get_response(request)


def find_client_address(peer: str, forwarded: str, *, proxies: int) -> str:
    """The address that the outermost of our proxies saw.

    Each proxy appends whom it was asked by, so only the last `proxies` entries are ours; what stands
    before them the caller may have invented. Text that is no address leaves the peer's.
    """
    entries = [entry.strip() for entry in forwarded.split(",") if entry.strip()]
    if not entries or proxies < 1:
        return peer
    try:
        return str(ipaddress.ip_address(entries[-min(proxies, len(entries))]))
    except ValueError:
        return peer


class JsonErrorMiddleware:
    """Turns the HTML pages that Django makes of errors into our body, everywhere but in the admin."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if response.status_code < 400 or answers.is_html_area(request.path):
            return response
        if isinstance(response, HttpResponse) and not _is_json(response):
            _rewrite(request, response)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        # Remembered for the body of a 500 under DEBUG.
        request.failure = exception  # type: ignore[attr-defined]


def _is_json(response: HttpResponseBase) -> bool:
    return str(response.get("Content-Type", "")).startswith("application/json")


def _rewrite(request: HttpRequest, response: HttpResponse) -> None:
    make = {404: answers.answer_not_found, 500: answers.answer_server_error}.get(response.status_code)
    better = make(request) if make else answers.answer_error(request, response.status_code)
    response.content = better.content
    response["Content-Type"] = better["Content-Type"]
    if response.has_header("Content-Length"):
        response["Content-Length"] = str(len(response.content))


class BodySizeMiddleware:
    """Refuses a body above the limit before anything reads it, and reads one that comes in chunks."""

    # Together below the second within which even a hundred megabytes are refused.
    DRAIN_SECONDS = 0.5
    # A million chunks of one byte cost the server seconds of work; honest ones cost milliseconds.
    CHUNKS_SECONDS = 0.4

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 1024 * 1024
        if _is_chunked(request):
            try:
                fits = _load_chunks(request, limit, work=self.CHUNKS_SECONDS)
            except Invalid as refusal:
                return answers.answer_refusal(request, refusal)
        else:
            fits = _declared_length(request) <= limit
        if fits:
            return self.get_response(request)
        self._drain(request)
        return answers.answer_refusal(
            request, PayloadTooLarge(f"The body must not be longer than {limit} bytes")
        )

    def _drain(self, request: HttpRequest) -> None:
        # A server that closes while the caller still sends makes the system reset the connection, and
        # the caller never sees the answer. So a while is spent on throwing the body away: from the
        # socket where there is one, because one who sends nothing would else be waited for.
        sock = request.META.get("gunicorn.socket")
        end = time.monotonic() + self.DRAIN_SECONDS
        try:
            while (left := end - time.monotonic()) > 0 and _throw_away(request, sock, left):
                pass
        except OSError:
            return


def _throw_away(request: HttpRequest, sock: socket.socket | None, seconds: float) -> bool:
    """Read and forget a part of the body; whether there may be more."""
    if sock is None:
        return bool(request.read(PIECE))
    before = sock.gettimeout()
    sock.settimeout(seconds)
    try:
        return bool(sock.recv(PIECE))
    finally:
        sock.settimeout(before)


def _declared_length(request: HttpRequest) -> float:
    text = request.META.get("CONTENT_LENGTH") or "0"
    if not text.isascii() or not text.isdigit():
        return 0
    return int(text) if len(text) < 20 else math.inf


def _is_chunked(request: HttpRequest) -> bool:
    # Only where the server says that it ends the stream itself; else reading could wait for ever.
    chunked = "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower()
    return chunked and bool(request.META.get("wsgi.input_terminated"))


def _load_chunks(request: HttpRequest, limit: int, *, work: float) -> bool:
    """Read the body, at most `limit` bytes and `work` seconds of this thread's time; whether it fits.

    Raises Invalid for chunks that are not well-formed, end early, or are so small that they cost too much.
    """
    body, stream = BytesIO(), request.META["wsgi.input"]
    end = time.thread_time() + work
    try:
        while body.tell() <= limit and (part := stream.read(PIECE)):
            body.write(part)
            if time.thread_time() > end:
                raise Invalid({BODY: "Comes in chunks that are too small"})
    except (OSError, ParseException):
        raise Invalid({BODY: "Its chunks are malformed or end early"}) from None
    if body.tell() > limit:
        return False
    # Django takes a body without Content-Length for empty.
    request.META["CONTENT_LENGTH"] = str(body.tell())
    body.seek(0)
    request._stream = body
    return True


class TrailingSlashMiddleware:
    """Routes `/jobs/` as `/jobs`: no redirect, because that would lose the body of a POST."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        path = request.path_info
        if f"{path}/" == f"/{settings.ADMIN_PATH}":
            # The admin's own addresses have slashes.
            return HttpResponsePermanentRedirect(f"{path}/")
        if len(path) > 1 and path.endswith("/") and not answers.is_html_area(path):
            request.path_info = path[:-1]
        return self.get_response(request)
