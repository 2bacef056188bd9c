"""The app of docs/writing-a-handler.md, made from the code as it stands there."""

from __future__ import annotations

import importlib
import os
import re
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from executions.models import Execution
from jobs import definitions
from jobs.models import Job
from jobs.registry import handlers
from tests.db.reports.world import make_run
from tests.factories import NOON, at, make_job, run_due

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = Path(__file__).parents[2] / "docs" / "writing-a-handler.md"
APP = "housekeeping"
SETTINGS = "my_settings"
DAY = timedelta(days=1).total_seconds()


def read_page() -> list[tuple[str, str]]:
    """The page's blocks of code, each after the name of the file that its first line names."""
    return re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Path]:
    """The page's files in a folder of their own, from which its app is installed."""
    (tmp_path / APP).mkdir()
    (tmp_path / APP / "__init__.py").touch()
    for name, code in read_page():
        with (tmp_path / name).open("a", encoding="utf-8") as file:
            file.write(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", SETTINGS)
    before = {handler.name for handler in handlers}
    settings.INSTALLED_APPS = importlib.import_module(SETTINGS).INSTALLED_APPS
    yield tmp_path
    for name in {handler.name for handler in handlers} - before:
        handlers.unregister(name)
    for name in [name for name in sys.modules if name.partition(".")[0] in (APP, SETTINGS)]:
        del sys.modules[name]


def put(folder: Path, name: str, *, days_old: float = 0, text: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    changed = NOON.timestamp() - days_old * DAY
    os.utime(path, (changed, changed))
    return path


def run(handler: str, **payload: Any) -> Execution:
    """Run a job with this handler at its fire time, as the scheduler does."""
    job = make_job(handler=handler, payload=payload, cron_expression="0 12 * * *", next_run_at=NOON)
    with at(NOON):
        run_due()
    return Execution.objects.get(job=job)


def test_the_page_names_the_files_that_make_the_app() -> None:
    assert [name for name, _ in read_page()] == [
        "housekeeping/handlers.py",
        "my_settings.py",
        "housekeeping/handlers.py",
    ]


def test_the_first_handler_of_the_page_has_ten_lines() -> None:
    (_, code), *_ = read_page()

    assert len([line for line in code.splitlines() if line.strip() and '"""' not in line]) == 10


def test_the_first_handler_runs_by_the_name_of_its_job(app: Path) -> None:
    old, new = (
        put(app / "uploads", "old.txt", days_old=31),
        put(app / "uploads", "new.txt", days_old=1),
    )
    job = make_job(name="sweep-uploads", cron_expression="0 12 * * *", next_run_at=NOON)

    with at(NOON):
        run_due()

    execution = Execution.objects.get(job=job)
    assert (execution.status, execution.total_processed, execution.total_success) == ("SUCCESS", 1, 1)
    assert (old.exists(), new.exists()) == (False, True)


def make_sweep(**payload: Any) -> Job:
    return Job(name="sweep", cron_expression="0 12 * * *", handler="sweep-folder", payload=payload)


def test_parameters_are_checked_when_the_job_is_saved(app: Path) -> None:
    assert definitions.check(make_sweep(folder="/"), staff=True) == {}
    assert definitions.check(make_sweep(), staff=True) == {"payload.folder": "Required"}
    assert definitions.check(make_sweep(folder="/", days="many", age=3), staff=True) == {
        "payload.days": "must be integer",
        "payload.age": "unknown parameter",
    }
    assert definitions.check(make_sweep(folder="/", days=0), staff=True) == {
        "payload.days": "must be at least 1"
    }


def test_only_staff_may_name_the_careful_handler(app: Path) -> None:
    assert list(definitions.check(make_sweep(folder="/"), staff=False)) == ["handler"]


def test_the_careful_handler_counts_what_it_did(app: Path) -> None:
    folder = app / "inbox"
    put(folder, "a.txt", days_old=8)
    put(folder, "b.txt", days_old=6)
    (folder / "c").mkdir()
    os.utime(folder / "c", (0, 0))

    execution = run("sweep-folder", folder=str(folder), days=7)

    assert (execution.status, execution.total_success, execution.total_failure) == ("FAILED", 1, 1)
    assert (execution.error_message or "").startswith("c: ")
    assert sorted(path.name for path in folder.iterdir()) == ["b.txt", "c"]


def test_a_run_that_is_asked_to_stop_ends_before_the_next_file(app: Path) -> None:
    put(app / "inbox", "a.txt", days_old=40)
    asked = threading.Event()
    asked.set()
    found = handlers.get("sweep-folder")
    params = found.read_params({"folder": str(app / "inbox")})

    result = found.function(make_run(params=params, stop=asked))

    assert result is not None
    assert result.total == 0
    assert (app / "inbox" / "a.txt").exists()


def test_what_cannot_succeed_fails_at_once_and_what_may_is_tried_later(app: Path) -> None:
    policy = {"maxRetries": 1, "initialDelayMs": 1}
    put(app / "busy", ".writing")
    for name, folder in (("wrong", "/no/such/folder"), ("busy", str(app / "busy"))):
        make_job(
            name=name,
            handler="sweep-folder",
            payload={"folder": folder},
            retry_policy=policy,
            cron_expression="0 12 * * *",
            next_run_at=NOON,
        )

    with at(NOON):
        run_due()

    wrong, busy = (Execution.objects.get(job__name=name) for name in ("wrong", "busy"))
    assert (wrong.status, wrong.error_message) == ("FAILED", "/no/such/folder is no folder")
    assert (busy.status, busy.error_message) == ("RETRYING", "somebody writes there")
    assert busy.next_attempt_at == NOON + timedelta(minutes=5)


def test_the_handler_with_a_process_of_its_own_answers_from_there(app: Path) -> None:
    put(app / "texts", "a.txt", text="one two three")

    execution = run("count-words", folder=str(app / "texts"))

    assert (execution.status, execution.error_message) == ("SUCCESS", None)
    assert execution.result == {"words": 3}
