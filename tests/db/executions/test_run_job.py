"""`manage.py run_job`: refused before anything is written, where the run could only fail."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from executions.models import DeadLetter, Execution
from tests.db.executions.world import make_job

pytestmark = pytest.mark.django_db


def refuse(*words: str) -> str:
    with pytest.raises(CommandError) as refusal:
        call_command("run_job", *words, stdout=StringIO())
    assert not Execution.objects.exists()
    assert not DeadLetter.objects.exists()
    return str(refusal.value)


def test_a_handler_that_this_process_does_not_have_is_told_with_what_to_do() -> None:
    make_job(name="sweep", handler="sweep-uploads")
    said = refuse("sweep")
    assert said.startswith("sweep: handler sweep-uploads is not registered here (known: ")
    assert "DJANGO_SETTINGS_MODULE" in said


def test_a_handler_that_is_not_enabled_here_is_told() -> None:
    make_job(name="shell", handler="command", payload={"argv": ["true"]})
    assert refuse("shell").endswith("ENABLED_HANDLERS names it: set it here too")


def test_a_parameter_that_the_handler_does_not_take_is_named() -> None:
    make_job(name="process", handler="process-transactions")
    assert refuse("process", "--param", "skipLimt=1").startswith("payload.skipLimt: unknown parameter")


def test_a_job_that_is_off_says_what_comes_first() -> None:
    make_job(name="off", handler="default", state="inactive")
    assert refuse("off") == "Cannot trigger inactive job: off is inactive; resume or reschedule it first"
