"""The handlers that need nothing but the engine: `default`, `http`, `command`, `management-command`."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import timedelta
from importlib.util import find_spec
from typing import Any

import django
from django.conf import settings

from executions import egress
from executions.engine import clock
from executions.http.caller import Answer, Request
from executions.http.echoes import find_secrets, hide
from executions.http.errors import CallError, CallStopped, HostBusy
from executions.http.signature import sign
from executions.management_command import ManagementCommand, run_management_command
from executions.shell import Command, run_command
from jobs import http_rules as rules
from jobs import secrets
from jobs.contract import NotNow, PermanentError, Result, RetryLater, Run, Stopped
from jobs.registry import handler
from web.moments import format_moment
from web.redaction import masked, redact

MAX_WAIT_MS = 60_000
HTTP_TIMEOUT_MS = 30_000
WITHOUT_BODY = frozenset({"GET", "HEAD"})
REPLACEABLE = frozenset({"content-type", "user-agent"})
FAILED = (1, 0, 1)
SHOWN_HEADERS = 50
SHOWN_LENGTH = 500


@handler("default")
def wait(run: Run) -> Result:
    """Waits `duration` ms (at most 60000) and succeeds, or fails when `shouldFail` is true."""
    duration = run.params.get("duration", 0)
    if isinstance(duration, bool) or not isinstance(duration, int | float):
        raise PermanentError("payload.duration must be a number of milliseconds")
    if duration > 0:
        run.stop.wait(min(duration, MAX_WAIT_MS) / 1000)
        run.check_stop()
    if run.params.get("shouldFail") is True:
        raise RuntimeError("Simulated job failure for testing")
    return Result(
        data={
            "jobId": str(run.job.id),
            "executedAt": run.scheduled_at.isoformat(),
            "message": f"Job {run.job.name} completed successfully",
            "payload": dict(run.params),
        }
    )


@handler("ping")
def await_ping(run: Run) -> Result:
    """Waits, and holds no slot, for a ping of a program elsewhere; none within timeoutMs is a failure."""
    until = run.scheduled_at + timedelta(milliseconds=run.job.timeout_ms)
    left = until - clock.now()
    if left > timedelta(0):
        raise NotNow("a ping may still come", delay=left)
    raise PermanentError(f"no ping within {run.job.timeout_ms} ms", reason="timeout")


@handler("http", timeout_ms=HTTP_TIMEOUT_MS)
def call(run: Run) -> Result:
    """Calls the job's address with its method, headers and payload; an answer of 2xx is a success.

    1. Build the request; what cannot be sent fails for good.
    2. Call through the egress guard, within the job's time-out from resolve to the last byte.
    3. Sort what came of it: a full host gives the slot back uncounted, a refused address fails
       for good, everything else may be retried, not before the target's Retry-After.
    """
    request = build_request(run, now=int(time.time()))
    url = rules.mask_url(request.url)
    shown = f"{request.method} {url}"
    facts = {"request": {"method": request.method, "url": url}}
    try:
        answer = egress.call(request, should_stop=run.should_stop)
    except CallStopped as error:
        raise Stopped(str(error), totals=FAILED) from None
    except HostBusy as error:
        raise NotNow(str(error), delay=error.retry_delay) from None
    except CallError as error:
        failure = _as_failure(error, facts)
        run.log.warning(_join(shown, str(failure)), reason=error.reason)
        raise failure from None
    secrets_sent = find_secrets(headers=request.headers, url=request.url, payload=run.params)
    facts["response"] = _show(answer, secrets_sent)
    _log_answer(run, shown, answer)
    body = hide(answer.body, secrets_sent, cut=answer.truncated)
    if answer.is_success:
        return Result(total=1, success=1, status_code=answer.status_code, body=body, data=facts)
    raise RetryLater(
        redact(hide(answer.failure, secrets_sent)),
        delay=answer.retry_delay,
        reason="http_status",
        status_code=answer.status_code,
        body=body,
        totals=FAILED,
        data=facts,
    )


@handler("command", params=Command, staff_only=True, dangerous=True)
def command(run: Run) -> Result:
    """Runs a program with its arguments (`argv`), not a line for a shell; exit code 0 is a success."""
    return run_command(run, run.params)


@handler("management-command", params=ManagementCommand, staff_only=True, dangerous=True)
def management_command(run: Run) -> Result:
    """Runs one of the Django commands that this installation allows jobs to run."""
    return run_management_command(run, run.params)


if find_spec("django.tasks" if django.VERSION >= (6, 0) else "django_tasks"):
    from executions.tasks_backend import HANDLER as TASK
    from executions.tasks_backend import run_task

    @handler(TASK, staff_only=True)
    def django_task(run: Run) -> Result:
        """Calls the Django task that `task` names, with `args` and `kwargs`."""
        return run_task(run)


def build_request(run: Run, *, now: int) -> Request:
    """The request of one attempt; `now` (seconds since 1970) goes into the signature.

    Raises PermanentError for a job that cannot be sent as it is (SQL can write anything).
    """
    if not run.job.api:
        raise PermanentError("the job has no address (api)", totals=FAILED)
    method = run.job.method.upper()
    body = None if method in WITHOUT_BODY else _body(run)
    try:
        given = rules.check_headers(_given_headers(run))
    except ValueError as error:
        raise PermanentError(f"headers: {error}", totals=FAILED) from None
    headers = ({} if body is None else {"Content-Type": "application/json"}) | {
        "User-Agent": egress.user_agent(),
        "Idempotency-Key": str(run.id),
        "X-Execution-Id": str(run.id),
        "X-Job-Id": str(run.job.id),
        "X-Attempt": str(run.attempt),
        **_signature(run, body or b"", now),
    }
    return Request(
        url=run.job.api,
        method=method,
        headers=_with_given(headers, given),
        body=body,
        timeout_ms=run.job.timeout_ms,
        follow_redirects=run.job.follow_redirects,
        attempt=run.attempt,
    )


def _body(run: Run) -> bytes:
    document = {
        "jobId": str(run.job.id),
        "jobName": run.job.name,
        "executionId": str(run.id),
        "scheduledAt": format_moment(run.scheduled_at),
        "attemptNumber": run.attempt,
        "payload": run.params,
        "metadata": run.job.metadata,
    }
    # ASCII on the wire, so that no text, however odd, can fail to be encoded.
    return json.dumps(document, separators=(",", ":")).encode("ascii")


def _given_headers(run: Run) -> dict[str, Any]:
    """The job's own headers in clear, without an idempotency key (ours is the one that counts)."""
    revealed = secrets.reveal(run.job.headers)
    return {name: value for name, value in revealed.items() if str(name).lower() != "idempotency-key"}


def _signature(run: Run, body: bytes, now: int) -> dict[str, str]:
    if not settings.WEBHOOK_SECRET.strip():
        return {}
    return sign(settings.WEBHOOK_SECRET, message_id=str(run.id), timestamp=now, body=body)


def _with_given(ours: dict[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Ours first, then the job's, which replace the content type and the user agent only."""
    replaced = {name.lower() for name in given} & REPLACEABLE
    kept = {name: value for name, value in ours.items() if name.lower() not in replaced}
    taken = {name.lower() for name in kept}
    return kept | {name: value for name, value in given.items() if name.lower() not in taken}


def _as_failure(error: CallError, facts: dict[str, Any]) -> PermanentError | RetryLater:
    message = redact(str(error))
    if error.permanent:
        return PermanentError(message, reason=error.reason, totals=FAILED, data=facts)
    return RetryLater(message, delay=error.retry_delay, reason=error.reason, totals=FAILED, data=facts)


def _show(answer: Answer, secrets_sent: frozenset[str]) -> dict[str, Any]:
    """What the admin shows of an answer besides its status code and body."""
    headers = list(answer.headers.items())[:SHOWN_HEADERS]

    def short(text: str) -> str:
        return hide(text, secrets_sent)[:SHOWN_LENGTH]

    return {
        "statusCode": answer.status_code,
        "reason": short(answer.reason_phrase),
        "headers": masked({short(name): short(value) for name, value in headers}),
        "url": hide(rules.mask_url(answer.final_url), secrets_sent),
        "redirects": answer.redirects,
        "durationMs": round(answer.duration.total_seconds() * 1000),
        "truncated": answer.truncated,
    }


def _log_answer(run: Run, shown: str, answer: Answer) -> None:
    spent = round(answer.duration.total_seconds() * 1000)
    say = run.log.info if answer.is_success else run.log.warning
    line = _join(shown, f"HTTP {answer.status_code} in {spent} ms")
    say(line, statusCode=answer.status_code, durationMs=spent)


def _join(call: str, ending: str) -> str:
    return f"{call}: {ending}"
