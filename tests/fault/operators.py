"""A second kind of process beside the schedulers: one that calls verbs, as the web process does.

`python -m tests.fault.operators` reads one JSON list per line, `[verb, job name, …]`, and answers each with one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.fault.processes import ROOT, environment


class Operator:
    """Calls verbs in a process of its own; each answer is `["done", …]` or `["refused" or "failed", words]`."""

    def __init__(self, database_url: str, **extra: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fault.operators"],
            cwd=ROOT,
            env=environment(database_url, **extra),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def ask(self, verb: str, *details: Any) -> list[Any]:
        """Call one verb and wait for its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([verb, *details]) + "\n")
        self.process.stdin.flush()
        answer: list[Any] = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def serve() -> None:
    """Answer the lines of the standard input."""
    import django

    django.setup()
    from executions import operations

    for text in sys.stdin:
        verb, *details = json.loads(text)
        try:
            answer: list[Any] = ["done", _do(verb, *details)]
        except operations.Refused as error:
            answer = ["refused", str(error)]
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            answer = ["failed", f"{type(error).__name__}: {error}"]
        print(json.dumps(answer), flush=True)


def _do(verb: str, name: str, *details: Any) -> Any:
    from executions import operations
    from executions.models import DeadLetter, Execution
    from jobs.audit import COMMAND_LINE
    from jobs.models import Job

    if verb == "browse":
        return _browse(name)
    if verb == "cancel_execution":
        operations.cancel_execution(Execution.objects.get(id=name), by=COMMAND_LINE)
        return None
    if verb == "requeue":
        letter = DeadLetter.objects.get(execution_id=name)
        return operations.requeue(letter, by=COMMAND_LINE).hex
    job = Job.objects.get(name=name)
    if verb == "trigger":
        return operations.trigger(job, by=COMMAND_LINE).hex
    if verb == "update":
        operations.update(job, details[0], by=COMMAND_LINE)
    elif verb == "resume":
        operations.resume(job, by=COMMAND_LINE, catch_up=details[0] if details else "none")
    else:
        getattr(operations, verb)(job, by=COMMAND_LINE)
    return None


ROUTES = (
    "/jobs", "/jobs/{job}", "/jobs/{job}/executions", "/jobs/{job}/versions", "/jobs/{job}/audit",
    "/jobs/{job}/preview", "/executions", "/executions/{execution}", "/executions/{execution}/logs",
)  # fmt: skip


def _browse(name: str) -> list[list[Any]]:
    """Ask as one user for everything of another user's job; each answer as [route, status, shows it]."""
    from datetime import UTC, datetime

    from django.test import Client

    from accounts.access_tokens import issue_token
    from accounts.models import User
    from executions.models import Execution
    from jobs.models import Job

    owner, _ = User.objects.get_or_create(email="owner@example.org", defaults={"name": "owner"})
    other, _ = User.objects.get_or_create(email="other@example.org", defaults={"name": "other"})
    Job.objects.filter(name=name).update(user=owner)
    job = Job.objects.get(name=name)
    execution = Execution.objects.filter(job=job).first()
    assert execution is not None
    answers: list[list[Any]] = []
    token = issue_token(other, now=datetime.now(UTC))
    for route in ROUTES:
        path = "/api/v1" + route.format(job=job.uuid, execution=execution.id)
        answer = Client(headers={"authorization": f"Bearer {token}", "host": "localhost"}).get(path)
        shown = str(job.uuid) in answer.content.decode() or str(execution.id) in answer.content.decode()
        answers.append([route, answer.status_code, shown and answer.status_code < 400])
    return answers


if __name__ == "__main__":
    serve()
