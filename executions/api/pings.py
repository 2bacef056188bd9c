"""The dead-man's switch: whoever knows the address tells how the program went."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from executions.operations import pings
from web.api.views import ApiView
from web.errors import NotFound

MAX_CODE = 255
SIGNALS = ["start", "fail", "0", "1"]


class PingView(ApiView):
    """No token: the address is the secret."""

    open_to_all = True
    noun = "Ping address"

    @extend_schema(operation_id="ping_success", responses={(200, "text/plain"): OpenApiTypes.STR})
    def get(self, request: Request, **address: Any) -> HttpResponse:
        """The program ended well; `/start`: it has begun; `/fail` or an exit code but 0: it failed."""
        return self._note(request)

    @extend_schema(
        operation_id="ping_success_with_output",
        request={"text/plain": OpenApiTypes.STR},
        responses={(200, "text/plain"): OpenApiTypes.STR},
    )
    def post(self, request: Request, **address: Any) -> HttpResponse:
        """The same; the body, its output perhaps, is kept with the execution."""
        return self._note(request)

    def _note(self, request: Request) -> HttpResponse:
        job = pings.find_pinged(self.kwargs["id"])
        if job is None:
            raise NotFound(self.noun)
        signal = self.kwargs.get("signal", "0")
        if signal == "start":
            pings.note_start(job)
        else:
            pings.note_end(job, failure=read_failure(signal), body=self._body(request))
        return HttpResponse("OK", content_type="text/plain; charset=utf-8")

    @staticmethod
    def _body(request: Request) -> str:
        # Whatever it is: programs send their output, and only its beginning is kept.
        body: bytes = request._request.body[: 4 * pings.MAX_BODY]
        return body.decode(errors="replace")


class PingSignalView(PingView):
    @extend_schema(
        operation_id="ping_signal",
        parameters=[OpenApiParameter("signal", OpenApiTypes.STR, OpenApiParameter.PATH, enum=SIGNALS)],
        responses={(200, "text/plain"): OpenApiTypes.STR},
    )
    def get(self, request: Request, **address: Any) -> HttpResponse:
        """`start`, `fail`, or the exit code of the program (0 to 255)."""
        return self._note(request)

    @extend_schema(
        operation_id="ping_signal_with_output",
        parameters=[OpenApiParameter("signal", OpenApiTypes.STR, OpenApiParameter.PATH, enum=SIGNALS)],
        request={"text/plain": OpenApiTypes.STR},
        responses={(200, "text/plain"): OpenApiTypes.STR},
    )
    def post(self, request: Request, **address: Any) -> HttpResponse:
        """The same; the body is kept with the execution."""
        return self._note(request)


def read_failure(signal: str) -> str | None:
    """What a signal says in words; None for success. Raises NotFound for what is no signal."""
    if signal == "fail":
        return "the program reported a failure"
    if not signal.isascii() or not signal.isdigit() or len(signal) > 3 or int(signal) > MAX_CODE:
        raise NotFound("Route")
    return f"the program ended with exit code {int(signal)}" if int(signal) else None
