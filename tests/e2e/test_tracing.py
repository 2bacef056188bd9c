"""Traces: real web and scheduler processes, and a receiver that reads what they send."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.e2e.http_targets import HttpTarget
from tests.fault.database import Database, Files
from tests.fault.processes import environment, serving

pytestmark = pytest.mark.skipif(
    settings.DATABASES["default"]["ENGINE"].endswith("postgresql"),
    reason="traces do not depend on the database: tried on SQLite",
)
ROOT = Path(__file__).resolve().parents[2]
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NO_HOST = "http://127.0.0.1:1"
KEY = "an-api-key-of-the-receiver"


class World:
    """A migrated installation that sends its traces to `receiver` and may call `target`."""

    def __init__(self, database: Database, folder: Path, receiver: HttpTarget, target: HttpTarget) -> None:
        self.database, self.receiver, self.target = database, receiver, target
        self.address = ""
        self.environment = environment(
            self.database.url,
            AUTH_MODE="optional",
            HTTP_ALLOWED_CIDRS="127.0.0.0/8",
            TARGET_LOG=str(folder / "calls"),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url("").rstrip("/"),
            OTEL_EXPORTER_OTLP_HEADERS=f"api-key={KEY}",
            OTEL_BSP_SCHEDULE_DELAY="100",
            LOG_DIRECTORY=str(folder / "logs"),
        )

    def ask(self, path: str, body: Any = None, **headers: str) -> Any:
        """One request to the web process."""
        request = urllib.request.Request(
            self.address + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **headers},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def run_due(self, **more: str) -> subprocess.CompletedProcess[str]:
        """What is due, by the real command."""
        done = subprocess.run(
            [sys.executable, "manage.py", "run_scheduler", "--once"],
            cwd=ROOT,
            env=self.environment | more,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done

    def spans(self) -> list[dict[str, Any]]:
        """Everything the receiver got."""
        return [
            _read(span) | {"resource": _facts(group.resource.attributes)}
            for request in self.receiver.requests
            for group in ExportTraceServiceRequest.FromString(request.body).resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]

    def span(self, name: str, **facts: Any) -> dict[str, Any]:
        """The one span of this name with these attributes."""
        wanted = {name.replace("__", "."): value for name, value in facts.items()}
        found = [
            one for one in self.spans() if one["name"] == name and wanted.items() <= one["facts"].items()
        ]
        assert len(found) == 1, (name, facts, [one["name"] for one in self.spans()])
        return found[0]


def _facts(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


def _read(span: Span) -> dict[str, Any]:
    return {
        "name": span.name,
        "trace": span.trace_id.hex(),
        "id": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "kind": Span.SpanKind.Name(span.kind),
        "failed": span.status.code == Status.STATUS_CODE_ERROR,
        "reason": span.status.message,
        "facts": _facts(span.attributes),
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("migrated"))


@pytest.fixture
def world(files: Files, tmp_path: Path) -> Iterator[World]:
    with HttpTarget() as receiver, HttpTarget() as target:
        yield World(files.create(tmp_path), tmp_path, receiver, target)


def test_a_trigger_its_run_and_the_call_are_traced_from_end_to_end(world: World) -> None:
    with serving(world.environment) as world.address:
        job = world.ask(
            "/api/v1/jobs",
            {
                "name": "traced",
                "schedule": "0 0 1 1 *",
                "api": world.target.url("/status/500?apiKey=s3cr3t-in-the-query"),
                "maxRetries": 1,
                "retryPolicy": {"initialDelayMs": 1},
            },
        )
        world.ask("/api/v1/health")
        execution = world.ask(f"/api/v1/jobs/{job['id']}/trigger", {}, traceparent=CALLER)["executionId"]
    world.run_due()
    trace_of_the_run = execution.replace("-", "")

    asked = world.span("POST /jobs/{id}/trigger")
    assert (asked["trace"], asked["parent"]) == tuple(CALLER.split("-")[1:3])
    assert asked["kind"] == "SPAN_KIND_SERVER"
    assert asked["facts"]["http.response.status_code"] == 200
    assert asked["facts"]["scheduler.execution.id"] == execution
    assert asked["resource"]["service.name"] == "batch-job-scheduler"

    calls = world.target.requests
    assert len(calls) == 2
    for number, call in enumerate(calls, 1):
        run = world.span("run http", scheduler__execution__id=execution, scheduler__attempt=number)
        assert (run["trace"], run["parent"], run["kind"]) == (trace_of_the_run, "", "SPAN_KIND_CONSUMER")
        assert (run["failed"], run["reason"]) == (True, "HTTP 500: Internal Server Error")
        sent = [one for one in world.spans() if one["name"] == "POST" and one["parent"] == run["id"]]
        assert [one["kind"] for one in sent] == ["SPAN_KIND_CLIENT"]
        assert sent[0]["facts"]["http.response.status_code"] == 500
        told = str(call.header("traceparent"))
        assert told.split("-")[:3] == ["00", trace_of_the_run, sent[0]["id"]]
        assert int(told[-2:], 16) & 1, "sampled"
    assert {one["facts"]["scheduler.executions"] for one in world.spans() if one["name"] == "claim"} == {1}

    assert "s3cr3t" not in str(world.spans())
    assert not [one for one in world.spans() if "health" in one["name"]]
    assert {request.header("api-key") for request in world.receiver.requests} == {KEY}
    logs = "".join(path.read_text() for path in (Path(world.environment["LOG_DIRECTORY"])).iterdir())
    assert KEY not in logs


def test_a_planned_run_in_a_process_of_its_own_is_traced(world: World) -> None:
    now = world.database.now()
    world.database.insert(
        "batch_jobs",
        [{"job_name": "apart", "schedule_type": "one_time", "scheduled_at": now, "handler": "target-apart"}],
    )
    world.run_due()

    assert world.span("plan")["facts"]["scheduler.executions"] == 1
    run, inside = world.span("run target-apart"), world.span("process target-apart")
    assert (inside["trace"], inside["parent"]) == (run["trace"], run["id"])
    assert not run["failed"]
    assert world.database.one("SELECT id FROM job_executions") == run["trace"]


def test_a_receiver_that_is_gone_costs_spans_and_no_work(world: World) -> None:
    now = world.database.now()
    jobs = [
        {"job_name": f"job {number}", "schedule_type": "one_time", "scheduled_at": now, "handler": "default"}
        for number in range(50)
    ]
    world.database.insert("batch_jobs", jobs)
    started = time.monotonic()
    done = world.run_due(OTEL_EXPORTER_OTLP_ENDPOINT=NO_HOST)

    assert time.monotonic() - started < 40
    assert "scheduler stopped" in re.sub(r"scheduler scheduler-\S+", "scheduler", done.stderr)
    assert world.database.one("SELECT count(*) FROM job_executions WHERE status = 'SUCCESS'") == 50
    assert world.receiver.requests == []


def test_without_a_receiver_the_library_is_not_even_imported(world: World) -> None:
    program = (
        "import sys; from django.core.management import call_command; import django; django.setup();"
        "from django.test import Client; call_command('run_scheduler', '--once');"
        "assert Client().get('/api/v1/jobs').status_code == 200;"
        "sys.exit(', '.join(name for name in sys.modules if name.startswith('opentelemetry')) or 0)"
    )
    quiet = {name: value for name, value in world.environment.items() if not name.startswith("OTEL_")}
    for environ in (quiet, world.environment | {"OTEL_SDK_DISABLED": "true"}):
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=environ | {"ALLOWED_HOSTS": "testserver", "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr
