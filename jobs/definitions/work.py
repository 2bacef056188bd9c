"""What the job does: its handler, the call it makes, and the payload it hands over."""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from django.conf import settings

from jobs import http_rules, registry, secrets
from jobs.definitions.terms import FOR_STAFF, MAX_DOCUMENT_BYTES, REQUIRED, Problems, attempt
from jobs.models import Job
from web.errors import Invalid
from web.strictjson import BODY, check_json


def check_call(job: Job, problems: Problems) -> None:
    """Add what is wrong with the address and the headers."""
    if job.api_endpoint is not None:
        attempt(problems, "api_endpoint", http_rules.check_url, job.api_endpoint)
    try:
        headers = secrets.reveal(job.headers) if isinstance(job.headers, Mapping) else job.headers
    except secrets.LostKey as error:
        problems["headers"] = str(error)
        return
    attempt(problems, "headers", http_rules.check_headers, headers)


def check_documents(job: Job, problems: Problems) -> None:
    """Add what is wrong with payload and metadata."""
    for column in ("payload", "metadata"):
        value = getattr(job, column)
        if value is None and column == "metadata":
            continue
        if not isinstance(value, dict):
            problems[column] = "Must be an object"
        elif reason := _find_document_problem(value):
            problems[column] = reason


def _find_document_problem(value: dict[str, Any]) -> str | None:
    try:
        check_json(value)
        size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    except Invalid as error:
        found = error.problems[0]
        return found.message if found.field == BODY else f"{found.field}: {found.message}"
    except (TypeError, ValueError):
        return "Must be what JSON can say"
    too_long = size > MAX_DOCUMENT_BYTES
    return f"Must not be longer than {MAX_DOCUMENT_BYTES} bytes as JSON" if too_long else None


def check_handler(job: Job, staff: bool, problems: Problems, *, unwritten: bool = False) -> None:
    """Add why the handler may not be used, or does not take this payload."""
    if "handler" in problems or "name" in problems:
        return
    name = registry.resolve(handler=job.handler, api=job.api_endpoint, name=job.name)
    field = "name" if name == job.name else "handler"
    if name not in registry.handlers:
        if job.handler and not unwritten:
            problems["handler"] = f"Unknown; known are {', '.join(list_usable(staff=staff))}"
        return
    handler = registry.handlers.get(name)
    if not is_enabled(handler):
        problems[field] = f"Handler {name} works only where ENABLED_HANDLERS names it"
    elif handler.staff_only and not staff:
        problems[field] = FOR_STAFF.format(name)
    elif name == "http" and not job.api_endpoint:
        problems["api_endpoint"] = f"{REQUIRED} by the handler http"
    elif isinstance(job.payload, dict):
        problems.update({f: t for f, t in check_payload(name, job.payload).items() if f not in problems})


def check_payload(handler: str, payload: Mapping[str, Any]) -> Problems:
    """What the handler's own parameters say against this payload."""
    problems = Problems()
    if (reason := _find_document_problem(dict(payload))) is not None:
        return {"payload": reason}
    try:
        registry.handlers.get(handler).read_params(payload)
    except registry.UnknownHandler:
        return problems
    except (TypeError, ValueError) as error:
        for part in str(error).split("; "):
            name, colon, text = part.partition(": ")
            field = f"payload.{name}" if colon and name.isidentifier() else "payload"
            problems.setdefault(field, text if field != "payload" else part)
    return problems


def check_override(job: Job, payload: Mapping[str, Any], *, staff: bool) -> Problems:
    """Why this may not stand in for the job's payload, once; empty when it may.

    A dangerous handler takes its program from the job alone: who may run a job may not always say
    what it runs.
    """
    name = resolve_handler(job)
    if name in registry.handlers:
        handler = registry.handlers.get(name)
        if handler.dangerous:
            return {"payload": f"Handler {name} takes no payload but the job's own"}
        if handler.staff_only and not staff:
            return {"handler": FOR_STAFF.format(name)}
    return check_payload(name, payload)


def find_obstacle(job: Job) -> str | None:
    """Why this process cannot run the job's handler at all, and what to do; None where it can."""
    name = resolve_handler(job)
    if name not in registry.handlers:
        known = ", ".join(list_usable(staff=True))
        return (
            f"handler {name} is not registered here (known: {known}); if an app of your own has it,"
            " set DJANGO_SETTINGS_MODULE to the settings that install the app"
        )
    if not is_enabled(registry.handlers.get(name)):
        return f"handler {name} works only where ENABLED_HANDLERS names it: set it here too"
    return None


def is_enabled(handler: registry.Handler) -> bool:
    """Whether this installation lets the handler run."""
    return not handler.dangerous or handler.name in settings.ENABLED_HANDLERS


def list_usable(*, staff: bool) -> list[str]:
    """The names of the handlers that a job may have here, for staff or for others."""
    return [
        handler.name
        for handler in registry.handlers
        if is_enabled(handler) and (staff or not handler.staff_only)
    ]


def find_idleness(job: Job) -> str | None:
    """Why the job will end well and do nothing, in words; None where it does something, or says `default`."""
    if job.handler or resolve_handler(job) != "default":
        return None
    near = get_close_matches(job.name, [handler.name for handler in registry.handlers], n=1)
    hint = f" (did you mean the handler {near[0]}?)" if near else ""
    return f"the job has neither a handler nor an address: it does nothing and succeeds{hint}"


def resolve_handler(job: Job) -> str:
    """The name of the handler that does the job's work."""
    return registry.resolve(handler=job.handler, api=job.api_endpoint, name=job.name)
