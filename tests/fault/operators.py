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

    def __init__(self, database_url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fault.operators"],
            cwd=ROOT,
            env=environment(database_url),
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
        except Exception as error:
            answer = ["failed", f"{type(error).__name__}: {error}"]
        print(json.dumps(answer), flush=True)


def _do(verb: str, name: str, *details: Any) -> Any:
    from executions import operations
    from executions.models import DeadLetter, Execution
    from jobs.audit import COMMAND_LINE
    from jobs.models import Job

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


if __name__ == "__main__":
    serve()
