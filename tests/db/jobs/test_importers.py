"""The import commands, from a file and from the tables of django-celery-beat."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from jobs.models import AuditEntry, Job
from tests.factories import make_execution, make_job, run_due

pytestmark = pytest.mark.django_db(transaction=True)

CRONTAB = """\
MAILTO=ops@example.com
# Say when
*/5 * * * * /bin/echo now
@reboot /usr/bin/start
0 3 * * 1 cd /srv && ./tidy %input
"""
# The tables as django-celery-beat makes them, as far as they matter.
TABLES = """
CREATE TABLE django_celery_beat_crontabschedule (
    id integer PRIMARY KEY, minute varchar(240), hour varchar(96), day_of_week varchar(64),
    day_of_month varchar(124), month_of_year varchar(64), timezone varchar(63));
CREATE TABLE django_celery_beat_intervalschedule (
    id integer PRIMARY KEY, every integer, period varchar(24));
CREATE TABLE django_celery_beat_solarschedule (
    id integer PRIMARY KEY, event varchar(24), latitude numeric(9, 6), longitude numeric(9, 6));
CREATE TABLE django_celery_beat_clockedschedule (id integer PRIMARY KEY, clocked_time timestamp);
CREATE TABLE django_celery_beat_periodictask (
    id integer PRIMARY KEY, name varchar(200), task varchar(200), args text DEFAULT '[]',
    kwargs text DEFAULT '{}', queue varchar(200), exchange varchar(200), routing_key varchar(200),
    headers text DEFAULT '{}', priority integer, expires timestamp, expire_seconds integer,
    one_off boolean, start_time timestamp, enabled boolean, last_run_at timestamp,
    total_run_count integer DEFAULT 0, description text DEFAULT '', crontab_id integer,
    interval_id integer, solar_id integer, clocked_id integer);
INSERT INTO django_celery_beat_crontabschedule VALUES (1, '30', '4', '*', '*', '*', 'Europe/Berlin');
INSERT INTO django_celery_beat_intervalschedule VALUES (1, 1, 'days');
INSERT INTO django_celery_beat_solarschedule VALUES (1, 'sunset', 52.5, 13.4);
INSERT INTO django_celery_beat_clockedschedule VALUES (1, '2300-01-01 10:00:00');
INSERT INTO django_celery_beat_periodictask (id, name, task, one_off, enabled, last_run_at, crontab_id)
    VALUES (1, 'report', 'shop.tasks.generate_daily_reports', false, true, NULL, 1);
INSERT INTO django_celery_beat_periodictask (id, name, task, one_off, enabled, last_run_at, interval_id)
    VALUES (2, 'process', 'process-transactions', false, false, '2026-01-01 06:30:00.5', 1);
INSERT INTO django_celery_beat_periodictask (id, name, task, one_off, enabled, last_run_at, solar_id)
    VALUES (3, 'evening', 'shop.tasks.lights', false, true, NULL, 1);
INSERT INTO django_celery_beat_periodictask (id, name, task, one_off, enabled, last_run_at, clocked_id)
    VALUES (4, 'once', 'shop.tasks.celebrate', true, true, NULL, 1)
"""
NAMES = ("periodictask", "crontabschedule", "intervalschedule", "solarschedule", "clockedschedule")


def call(*words: str) -> str:
    """What an importer says; its exit code is 1 where it says that something was left out."""
    out = io.StringIO()
    code: object = 0
    try:
        call_command(*words, stdout=out, stderr=out)
    except SystemExit as end:
        code = end.code
    said = out.getvalue()
    assert code == (0 if ", 0 left out" in said else 1), said
    return said


@pytest.fixture
def crontab(tmp_path: Path, settings: Any) -> str:
    settings.ENABLED_HANDLERS = ["command"]
    path = tmp_path / "mine"
    path.write_text(CRONTAB)
    return str(path)


def test_a_dry_run_tells_what_would_become_of_each_line(crontab: str) -> None:
    said = call("import_crontab", crontab, "--dry-run")
    assert "+ echo (line 3): */5 * * * *" in said
    assert "! start (line 4): cannot be carried over: @reboot" in said
    assert "no mail goes to ops@example.com" in said
    assert "2 imported, 0 known already, 1 left out (dry run: nothing was changed)" in said
    assert not Job.objects.exists()


def test_a_crontab_becomes_jobs_that_run(crontab: str) -> None:
    said = call("import_crontab", crontab, "--timezone", "Europe/Berlin")
    assert "read as a user crontab, times in Europe/Berlin" in said
    echo = Job.objects.get(name="echo")
    assert (echo.origin, echo.state, echo.timezone, echo.description) == (
        "import",
        "active",
        "Europe/Berlin",
        "Say when",
    )
    assert Job.objects.get(name="tidy").payload["stdin"] == "input\n"
    assert AuditEntry.objects.filter(job=echo, action="CREATED").exists()
    execution = make_execution(echo)
    run_due()
    execution.refresh_from_db()
    result: Any = execution.result
    assert (execution.status, result["stdout"]) == ("SUCCESS", "now\n")
    copy = Path(crontab).with_name("a-copy")
    copy.write_text(Path(crontab).read_text())
    for source in (crontab, str(copy)):
        assert "0 imported, 2 known already, 1 left out" in call("import_crontab", source)
    assert Job.objects.count() == 2


def test_an_import_may_wait_switched_off(crontab: str) -> None:
    call("import_crontab", crontab, "--inactive")
    assert set(Job.objects.values_list("state", flat=True)) == {"inactive"}


def test_without_the_handler_nothing_is_imported_and_it_says_why(crontab: str, settings: Any) -> None:
    settings.ENABLED_HANDLERS = []
    said = call("import_crontab", crontab)
    assert "ENABLED_HANDLERS must name command" in said
    assert not Job.objects.exists()


def test_a_bad_zone_or_file_is_one_clear_line() -> None:
    with pytest.raises(CommandError, match="--timezone Mars"):
        call("import_crontab", "-", "--timezone", "Mars")
    with pytest.raises(CommandError, match="cannot be read"):
        call("import_crontab", "/no/such/file")


@pytest.fixture
def beat() -> Iterator[None]:
    """The tables of django-celery-beat in our own database."""
    with connection.cursor() as cursor:
        for statement in TABLES.split(";"):
            cursor.execute(statement)
    yield
    with connection.cursor() as cursor:
        for name in (
            "periodictask",
            "crontabschedule",
            "intervalschedule",
            "solarschedule",
            "clockedschedule",
        ):
            cursor.execute(f"DROP TABLE django_celery_beat_{name}")


@pytest.mark.usefixtures("beat")
def test_periodic_tasks_become_jobs() -> None:
    said = call("import_celery_beat")
    assert "! evening (periodic task 3): cannot be carried over: follows the sun" in said
    report, process, once = (Job.objects.get(name=name) for name in ("report", "process", "once"))
    assert (report.cron_expression, report.timezone, report.handler, report.state) == (
        "30 4 * * *",
        "Europe/Berlin",
        "generate-daily-reports",
        "active",
    )
    assert (process.recurrence_pattern, process.state) == ("daily", "inactive")
    assert str(process.scheduled_at) == "2026-01-01 06:30:00.500000+00:00"
    assert (once.schedule_type, once.handler, once.state) == ("one_time", "shop.tasks.celebrate", "inactive")
    assert "0 imported, 3 known already, 1 left out" in call("import_celery_beat")


@pytest.mark.usefixtures("beat")
def test_a_task_may_be_mapped_to_a_handler() -> None:
    call("import_celery_beat", "--map", "shop.tasks.celebrate=default")
    assert Job.objects.get(name="once").handler == "default"
    with pytest.raises(CommandError, match="no handler is named nothing"):
        call("import_celery_beat", "--map", "a=nothing")
    with pytest.raises(CommandError, match="TASK=HANDLER"):
        call("import_celery_beat", "--map", "a")


@pytest.mark.usefixtures("beat")
def test_a_mapped_task_that_nothing_runs_is_one_clear_line() -> None:
    nearest = r"^--map shop.tasks.celebrte: no periodic task runs .* \(did you mean shop.tasks.celebrate\?\)$"
    with pytest.raises(CommandError, match=nearest):
        call("import_celery_beat", "--map", "shop.tasks.celebrte=default")
    with pytest.raises(CommandError, match=r"no periodic task runs zzz$"):
        call("import_celery_beat", "--map", "zzz=default")
    assert not Job.objects.exists()


@pytest.mark.usefixtures("beat")
def test_a_payload_that_its_handler_refuses_tells_which_handler_that_is() -> None:
    change_task(1, kwargs='{"day": 1}')
    said = call("import_celery_beat")
    hint = "(its handler here is generate-daily-reports; --map shop.tasks.generate_daily_reports=HANDLER can"
    assert f"payload.day: unknown parameter {hint} name another)" in said


@pytest.mark.usefixtures("beat")
def test_periodic_tasks_keep_overlapping_and_expired_ones_stay_off() -> None:
    change_task(1, expires="2020-01-01 00:00:00")
    said = call("import_celery_beat")
    assert "+ report (periodic task 1), inactive: " in said
    assert "note: expired at 2020-01-01 00:00:00 UTC" in said
    report = Job.objects.get(name="report")
    assert (report.state, report.overlap_policy, report.max_concurrent_executions) == (
        "inactive",
        "allow",
        100,
    )


@pytest.mark.usefixtures("beat")
def test_a_secret_in_a_payload_is_noted_by_its_name() -> None:
    change_task(4, kwargs='{"smtp": {"password": "hunter2"}}')
    said = call("import_celery_beat")
    assert "note: payload.smtp.password looks like a secret" in said
    assert "hunter2" not in said


def change_task(number: int, **columns: str) -> None:
    with connection.cursor() as cursor:
        for column, value in columns.items():
            cursor.execute(
                f"UPDATE django_celery_beat_periodictask SET {column} = %s WHERE id = %s", [value, number]
            )


def test_the_tables_may_be_in_another_database(tmp_path: Path) -> None:
    path = tmp_path / "beat.sqlite3"
    other = sqlite3.connect(path)
    for statement in TABLES.split(";"):
        other.execute(statement)
    other.commit()
    other.close()
    said = call("import_celery_beat", "--database-url", f"sqlite:///{path}", "--dry-run")
    assert "3 imported, 0 known already, 1 left out (dry run" in said
    assert not Job.objects.exists()


def test_no_tables_or_another_database_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="django_celery_beat_periodictask"):
        call("import_celery_beat")
    for url in ("mysql://u:p@localhost/x", "nonsense"):
        with pytest.raises(CommandError, match="postgres://"):
            call("import_celery_beat", "--database-url", url)


def test_a_database_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    missing = tmp_path / "none.sqlite3"
    with pytest.raises(CommandError, match="there is no file"):
        call("import_celery_beat", "--database-url", f"sqlite:///{missing}")
    assert not missing.exists()


def test_a_crontab_that_is_carried_over_whole_ends_well(crontab: str) -> None:
    Path(crontab).write_text("*/5 * * * * echo now\n")
    assert "1 imported, 0 known already, 0 left out" in call("import_crontab", crontab)


def test_a_crontab_that_may_or_may_not_name_users_is_asked_about(tmp_path: Path) -> None:
    path = tmp_path / "crontab"
    path.write_text("0 3 * * * root /usr/bin/dump\n" + "0 4 * * * nobody-knows-this-user /usr/bin/dump\n" * 5)
    lines = "in line 1, none in lines 2, 3, 4 and 2 more: say --format system or --format user"
    with pytest.raises(CommandError, match=lines):
        call("import_crontab", str(path), "--dry-run")
    said = call("import_crontab", str(path), "--dry-run", "--format", "system")
    assert said.startswith("read as a system crontab")


def test_a_line_runs_where_cron_runs_it(tmp_path: Path, settings: Any) -> None:
    settings.ENABLED_HANDLERS = ["command"]
    home, path = tmp_path / "home", tmp_path / "crontab"
    home.mkdir()
    path.write_text(f"HOME={home}\n0 3 * * * pwd\n")
    call("import_crontab", str(path))
    execution = make_execution(Job.objects.get(name="pwd"))
    run_due()
    execution.refresh_from_db()
    result: Any = execution.result
    assert result["stdout"] == f"{home}\n"


def test_a_name_that_a_job_has_is_numbered(crontab: str) -> None:
    make_job(name="echo")
    make_job(name="gone", state="deleted")
    Path(crontab).write_text(
        "0 0 * * * echo 1\n0 0 * * * echo 2\n0 0 * * * gone\n0 0 * * * run 1\n0 0 * * * run 2\n"
    )
    said = call("import_crontab", crontab, "--dry-run")
    assert call("import_crontab", crontab) == said.replace(" (dry run: nothing was changed)", "")
    for name, line in (("echo (2)", 1), ("echo (3)", 2), ("gone", 3), ("run", 4), ("run (2)", 5)):
        assert f"+ {name} (line {line}):" in said
    assert "note for line 1, line 2: renamed: a job named echo exists" in said
    assert "a job named run exists" not in said
    names = list(Job.objects.present().values_list("name", flat=True))
    assert len(names) == len(set(names)) == 6
    assert "= echo (3) (line 2): imported before" in call("import_crontab", crontab)


def test_what_several_lines_share_is_told_once(crontab: str) -> None:
    Path(crontab).write_text(
        "MAILTO=ops@example.com\nAPI_TOKEN=hunter2\n0 1 * * * one\n0 2 * * * two\nMAILTO=\n0 3 * * * three\n"
    )
    said = call("import_crontab", crontab)
    assert said.count("ops@example.com") == 1
    assert "note for line 3, line 4: no mail goes to ops@example.com" in said
    assert "note for all: payload.env.API_TOKEN looks like a secret" in said
    assert "hunter2" not in said
