"""Every error becomes one body: who refused, why, field by field, and under which request id."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core import exceptions as django_errors
from django.db import InterfaceError, InternalError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions as rest_errors
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import set_rollback

from web.errors import (
    WORDS,
    Forbidden,
    Invalid,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    Problem,
    Refusal,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)
from web.strictjson import BODY

logger = logging.getLogger(__name__)

MAX_PROBLEMS = 100
AWAY = frozenset({"25P03", "25006"})  # idle_in_transaction_session_timeout, read_only_sql_transaction
_CLEARER = {
    "required": "Required",
    "null": "Must not be null",
    "blank": "Must not be empty",
    "not_a_list": "Must be a list",
}


def answer_exception(exception: Exception, context: Mapping[str, Any]) -> Response | None:
    """REST framework's exception handler; None, and so a logged 500, for what is not a refusal."""
    refusal = _as_refusal(exception, context)
    if refusal is None:
        return None
    set_rollback()
    request = context.get("request")
    # REST framework wraps the request; the id and the original path hang on Django's.
    http_request = getattr(request, "_request", request)
    body = build_body(
        http_request,
        refusal.status,
        error=refusal.error,
        message=refusal.message,
        problems=_problems(refusal),
    )
    return Response(body, status=refusal.status, headers=_headers(refusal))


def answer_error(
    request: HttpRequest, status: int, *, error: str | None = None, message: str | None = None
) -> JsonResponse:
    """The same body from outside REST framework."""
    return _as_json(build_body(request, status, error=error, message=message), status)


def answer_refusal(request: HttpRequest, refusal: Refusal) -> JsonResponse:
    """The same body for a refusal from outside REST framework."""
    body = build_body(
        request, refusal.status, error=refusal.error, message=refusal.message, problems=_problems(refusal)
    )
    response = _as_json(body, refusal.status)
    for name, value in _headers(refusal).items():
        response[name] = value
    return response


def build_body(
    request: HttpRequest | None,
    status: int,
    *,
    error: str | None = None,
    message: str | None = None,
    problems: list[Problem] | None = None,
) -> dict[str, Any]:
    """The error body; the words of the status code stand in for what is not given."""
    if error is None:
        error = WORDS.get(status) or HTTPStatus(status).phrase
    details = [{"field": problem.field, "message": problem.message} for problem in (problems or [])]
    return {
        "error": error,
        "message": message or error,
        "details": details[:MAX_PROBLEMS],
        "statusCode": status,
        "path": request.path if request is not None else "",
        "requestId": getattr(request, "request_id", ""),
    }


def list_problems(detail: Any, *, field: str = "") -> Iterator[Problem]:
    """REST framework's tree of errors as a flat list with dotted fields."""
    if isinstance(detail, Mapping):
        for key, value in detail.items():
            inner = "" if key == api_settings.NON_FIELD_ERRORS_KEY else str(key)
            yield from list_problems(value, field=".".join(part for part in (field, inner) if part))
    elif isinstance(detail, list | tuple):
        for number, value in enumerate(detail):
            inner = f"{field}.{number}" if isinstance(value, Mapping | list) and field else field
            yield from list_problems(value, field=inner)
    else:
        message = _CLEARER.get(getattr(detail, "code", ""), str(detail))
        yield Problem(field=(field or BODY)[:200], message=message)


def _as_json(body: dict[str, Any], status: int) -> JsonResponse:
    response = JsonResponse(
        body, status=status, json_dumps_params={"ensure_ascii": False, "separators": (",", ":")}
    )
    # Refusals of the outer middleware do not meet the one that adds it.
    response["Content-Length"] = str(len(response.content))
    return response


def _problems(refusal: Refusal) -> list[Problem]:
    return refusal.problems if isinstance(refusal, Invalid) else []


def _headers(refusal: Refusal) -> dict[str, str]:
    if isinstance(refusal, Unauthorized):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(refusal, TooManyRequests):
        return {"Retry-After": str(refusal.wait)}
    if isinstance(refusal, MethodNotAllowed):
        return {"Allow": ", ".join(refusal.allow)}
    return {}


def _as_refusal(exception: Exception, context: Mapping[str, Any]) -> Refusal | None:
    if isinstance(exception, Refusal):
        return exception
    if isinstance(exception, rest_errors.APIException):
        return _from_rest_framework(exception, context)
    return _from_django(exception, context)


def _from_django(exception: Exception, context: Mapping[str, Any]) -> Refusal | None:
    match exception:
        case Http404() | django_errors.ObjectDoesNotExist():
            return NotFound(getattr(context.get("view"), "noun", "Route"))
        case django_errors.PermissionDenied():
            return Forbidden(str(exception) or "You may not do this")
        case django_errors.ValidationError():
            detail = exception.message_dict if hasattr(exception, "error_dict") else exception.messages
            return Invalid(list_problems(detail))
        case django_errors.RequestDataTooBig():
            return PayloadTooLarge("The body must not be longer than 1 MiB")
        case OperationalError() | InterfaceError() | InternalError() if _is_neighbours_fault(exception):
            logger.error("the database did not answer: %s", exception)
            return Unavailable("The database does not answer; try again")
    return None


def _is_neighbours_fault(error: Exception) -> bool:
    # An InternalError is mostly ours; not where the server ended a transaction that stood still, or where
    # it became a read-only standby.
    state = getattr(error.__cause__, "sqlstate", None)
    return not isinstance(error, InternalError) or state in AWAY


def _from_rest_framework(exception: rest_errors.APIException, context: Mapping[str, Any]) -> Refusal | None:
    text = str(exception.detail)
    match exception:
        case rest_errors.ValidationError():
            return Invalid(list_problems(exception.detail))
        case rest_errors.ParseError():
            return Invalid({BODY: text})
        case rest_errors.NotAuthenticated() | rest_errors.AuthenticationFailed():
            return Unauthorized(text)
        case rest_errors.PermissionDenied():
            return Forbidden(text)
        case rest_errors.NotFound():
            return NotFound(getattr(context.get("view"), "noun", "Route"))
        case rest_errors.MethodNotAllowed():
            allow = getattr(context.get("view"), "allowed_methods", [])
            return MethodNotAllowed(text, allow=allow)
        case rest_errors.UnsupportedMediaType():
            return UnsupportedMediaType("The body must be application/json")
        case rest_errors.Throttled():
            return TooManyRequests(
                "Too many requests; see Retry-After", wait=max(1, int(getattr(exception, "wait", None) or 1))
            )
    return None


# The handlers of the URL configuration --------------------------------------------------------------


def is_html_area(path: str) -> bool:
    """Whether people with browsers live there: only the admin."""
    return path.startswith(f"/{settings.ADMIN_PATH}")


def answer_bad_request(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    """handler400."""
    return answer_error(request, 400, message="The request is not valid")


def answer_forbidden(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    """handler403."""
    return answer_error(request, 403)


def answer_not_found(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    """handler404."""
    return answer_error(request, 404, error="Route not found", message=f"There is no route {request.path}")


def answer_server_error(request: HttpRequest) -> JsonResponse:
    """handler500; the cause is in the log under the request id, and in the body only with DEBUG."""
    failure = getattr(request, "failure", None)
    message = f"{type(failure).__name__}: {failure}" if settings.DEBUG and failure else None
    return answer_error(request, 500, message=message)
