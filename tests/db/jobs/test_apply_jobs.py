"""Definitions as code: a file is applied whole or not at all, and comes back as it was written."""

from __future__ import annotations

import io
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command

from accounts.models import User
from executions import operations
from jobs import documents, manifest, secrets
from jobs.audit import Actor
from jobs.models import AuditEntry, Job, JobVersion
from tests.factories import make_job

pytestmark = pytest.mark.django_db

ADMIN = Actor(name="admin", is_staff=True)
FULL = """\
version: 1
jobs:
  - name: first
    description: Does the first thing.
    schedule: "0 30 2 * * *"
    timezone: Europe/Berlin
    startAt: 2026-01-01T00:00:00Z
    api: https://example.com/hook?token=***&page=1
    method: PUT
    headers:
      Authorization: ***
      X-Plain: seen
    payload:
      mode: full
      nested:
        - password: ***
    retryPolicy:
      maxRetries: 2
      backoffStrategy: FIXED
    priority: 7
    tags: [money, nightly]
  - name: second
    recurrencePattern: weekly
    scheduledAt: 2026-01-05T08:30:00.250Z
    handler: default
    maxRetries: 4
    overlapPolicy: allow
    dependsOn:
      - first
      - job: third
        outcome: FAILED
        withinSeconds: 60
  - name: third
    schedule: "*/5 * * * *"
    handler: default
    status: INACTIVE
"""
SECRETS = (
    FULL.replace("token=***", "token=${A_TOKEN}")
    .replace("Authorization: ***", "Authorization: Bearer ${A_TOKEN}")
    .replace("password: ***", "password: ${A_PASSWORD}")
    .replace("'***'", "***")
)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a file; answers its name."""
    monkeypatch.setenv("A_TOKEN", "t&ken 1")
    monkeypatch.setenv("A_PASSWORD", "hunter22")

    def write(text: str) -> str:
        path = tmp_path / "jobs.yaml"
        path.write_text(text.replace(": ***", ': "***"'), encoding="utf-8")
        return str(path)

    return write


def apply(name: str, *flags: str) -> str:
    out, err = io.StringIO(), io.StringIO()
    call_command("apply_jobs", name, *flags, stdout=out, stderr=err)
    return out.getvalue() + err.getvalue()


def export(*flags: str) -> str:
    out = io.StringIO()
    call_command("export_jobs", *flags, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def refused(name: str, *flags: str) -> str:
    with pytest.raises(CommandError) as caught:
        apply(name, *flags)
    return str(caught.value)


def test_a_file_becomes_jobs(file: Any) -> None:
    said = apply(file(SECRETS))
    assert said.splitlines()[-1] == "3 created, 0 changed, 0 deleted, 0 unchanged"
    first, second, third = (Job.objects.get(name=name) for name in ("first", "second", "third"))
    assert {first.origin, second.origin, third.origin} == {"file"}
    assert first.api_endpoint == "https://example.com/hook?token=t%26ken%201&page=1"
    assert secrets.reveal(first.headers)["Authorization"] == "Bearer t&ken 1"
    assert first.headers["Authorization"] != "Bearer t&ken 1"
    assert first.payload == {"mode": "full", "nested": [{"password": "hunter22"}]}
    assert sorted(tag.name for tag in first.tags.all()) == ["money", "nightly"]
    assert (second.schedule_type, second.max_concurrent_executions) == ("recurring", 100)
    assert {
        (bond.depends_on.name, bond.outcome, bond.within_seconds) for bond in second.dependencies.all()
    } == {
        ("first", "SUCCESS", None),
        ("third", "FAILED", 60),
    }
    assert third.state == "inactive"
    assert AuditEntry.objects.filter(job=first, action="CREATED", changed_by="file:jobs.yaml").exists()
    assert JobVersion.objects.filter(job=first, version=1).exists()


def test_a_second_time_nothing_happens(file: Any) -> None:
    apply(file(SECRETS))
    entries = AuditEntry.objects.count()
    assert apply(file(SECRETS)).strip() == "0 created, 0 changed, 0 deleted, 3 unchanged"
    assert AuditEntry.objects.count() == entries


def test_the_round_trip_is_exact(file: Any) -> None:
    apply(file(SECRETS))
    exported = export()
    assert apply(file(exported)).strip() == "0 created, 0 changed, 0 deleted, 3 unchanged"
    assert export() == exported
    before = {job.name: documents.document_of(job) for job in Job.objects.all()}
    Job.objects.all().delete()
    variables = export_with_references(file, exported)
    assert variables
    assert {job.name: documents.document_of(job) for job in Job.objects.all()} == before


def export_with_references(file: Any, exported: str) -> str:
    """Apply an export whose masks are filled in, to a database without the jobs."""
    text = exported.replace("token=***", "token=${A_TOKEN}").replace("'***'", "${A_PASSWORD}")
    apply(file(text))
    return text


def test_an_export_holds_no_secret_and_can_name_variables_instead(
    file: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(file(SECRETS))
    for text in (export(), export("--secrets", "env")):
        assert not [secret for secret in ("hunter22", "t&ken", "t%26ken", "sealed:") if secret in text]
    text = export("--secrets", "env")
    assert sorted(set(re.findall(r"\$\{(\w+)\}", text))) == [
        "FIRST_AUTHORIZATION",
        "FIRST_NESTED_0_PASSWORD",
        "FIRST_TOKEN",
    ]
    monkeypatch.setenv("FIRST_AUTHORIZATION", "Bearer t&ken 1")
    monkeypatch.setenv("FIRST_NESTED_0_PASSWORD", "hunter22")
    monkeypatch.setenv("FIRST_TOKEN", "t&ken 1")
    assert apply(file(text)).strip() == "0 created, 0 changed, 0 deleted, 3 unchanged"


def test_what_was_imported_before_its_handler_was_written_comes_back_too(file: Any) -> None:
    text = 'jobs:\n  - name: later\n    schedule: "0 0 * * *"\n    handler: shop.tasks.later\n    status: INACTIVE\n'
    said = apply(file(text))
    assert "later: no handler is named shop.tasks.later: write it, then resume the job" in said
    exported = export()
    assert yaml.safe_load(exported)["jobs"] == yaml.safe_load(text)["jobs"]
    assert "0 created, 0 changed, 0 deleted, 1 unchanged" in apply(file(exported))
    assert "handler: Unknown" in refused(file(text.replace("status: INACTIVE", "status: ACTIVE")))


def test_the_differences_are_shown_first_and_a_dry_run_does_nothing(file: Any) -> None:
    apply(file(SECRETS))
    changed = SECRETS.replace("priority: 7", "priority: 2").replace("[money, nightly]", "[money]")
    said = apply(file(changed), "--dry-run")
    assert "~ change first" in said
    assert "priority: 7 -> 2" in said
    assert 'tags: ["money", "nightly"] -> ["money"]' in said
    assert "dry run" in said
    assert Job.objects.get(name="first").priority == 7
    apply(file(changed))
    job = Job.objects.get(name="first")
    assert (job.priority, job.version) == (2, 2)
    assert AuditEntry.objects.get(job=job, action="UPDATED").change_details["priority"] == {
        "old": 7,
        "new": 2,
    }


def test_what_a_file_leaves_out_has_its_default(file: Any) -> None:
    apply(file(SECRETS))
    apply(file('jobs:\n  - name: first\n    schedule: "0 30 2 * * *"\n'))
    assert documents.document_of(Job.objects.get(name="first")) == {
        "name": "first",
        "schedule": "0 30 2 * * *",
    }


def test_only_prune_deletes_and_only_what_files_made(file: Any) -> None:
    mine = make_job(name="mine", origin="api")
    by_sql = make_job(name="by-sql", origin="sql")
    apply(file(SECRETS))
    one = 'jobs:\n  - name: first\n    schedule: "0 30 2 * * *"\n'
    assert "0 deleted" in apply(file(one))
    said = apply(file(one), "--prune")
    assert "- delete second" in said
    assert sorted(Job.objects.present().values_list("name", flat=True)) == ["by-sql", "first", "mine"]
    mine.refresh_from_db()
    by_sql.refresh_from_db()
    assert (mine.version, by_sql.version) == (1, 1)


def test_jobs_made_elsewhere_are_in_the_way_or_taken_over(file: Any) -> None:
    by_sql = make_job(name="third", origin="sql")
    text = 'jobs:\n  - name: third\n    schedule: "0 1 * * *"\n'
    assert "line 2: third: name: a job of this name was made elsewhere (sql)" in refused(file(text))
    apply(file(text), "--adopt")
    by_sql.refresh_from_db()
    assert (by_sql.origin, by_sql.cron_expression) == ("file", "0 1 * * *")
    make_job(name="other", origin="api")
    said = apply(file('jobs:\n  - name: other\n    schedule: "0 1 * * *"\n'))
    assert "warning: other: a job of this name was made by api" in said
    assert Job.objects.filter(name="other").count() == 2


def test_a_switch_turned_by_hand_stays_unless_the_file_says_otherwise(file: Any) -> None:
    text = 'jobs:\n  - name: a\n    schedule: "0 1 * * *"\n'
    apply(file(text))
    operations.pause(Job.objects.get(name="a"), by=ADMIN)
    assert "1 unchanged" in apply(file(text))
    assert Job.objects.get(name="a").state == "paused"
    for word, state in (
        ("ACTIVE", "active"),
        ("PAUSED", "paused"),
        ("INACTIVE", "inactive"),
        ("PAUSED", "paused"),
    ):
        apply(file(f"{text}    status: {word}\n"))
        assert Job.objects.get(name="a").state == state


def test_drift_is_what_was_changed_elsewhere_since(file: Any) -> None:
    apply(file(SECRETS))
    job = Job.objects.get(name="first")
    assert manifest.drift(job) == {}
    secrets.rotate()
    assert manifest.drift(Job.objects.get(name="first")) == {}
    Job.objects.filter(name="first").update(priority=1)  # as SQL would
    operations.update(
        job, {"headers": {"Authorization": "other", "X-Plain": "seen"}}, by=ADMIN, tags=["money"]
    )
    found = manifest.drift(Job.objects.get(name="first"))
    assert found["priority"] == {"file": 7, "now": 1}
    assert found["headers"] == {
        "file": {"Authorization": "***", "X-Plain": "seen"},
        "now": {"Authorization": "***", "X-Plain": "seen"},
    }
    assert found["tags"]["now"] == ["money"]
    assert set(found) == {"priority", "headers", "tags"}
    assert "priority: 1 -> 7  (changed elsewhere since the last file)" in apply(file(SECRETS))
    assert manifest.drift(Job.objects.get(name="first")) == {}
    assert manifest.drift(make_job()) == {}


def test_a_file_that_agrees_with_the_change_ends_the_drift(file: Any) -> None:
    text = 'jobs:\n  - name: a\n    schedule: "0 1 * * *"\n'
    apply(file(text))
    Job.objects.filter(name="a").update(priority=8)
    assert manifest.drift(Job.objects.get(name="a"))
    assert "1 unchanged" in apply(file(f"{text}    priority: 8\n"))
    assert manifest.drift(Job.objects.get(name="a")) == {}


def test_owners_keep_their_jobs_and_tags(file: Any) -> None:
    user = User.objects.create_user(email="ann@example.com", password="correct horse", name="Ann")
    text = 'jobs:\n  - name: a\n    schedule: "0 1 * * *"\n    tags: [x]\n    owner: ann@example.com\n'
    apply(file(text))
    job = Job.objects.get(name="a")
    assert (job.user_id, job.tags.get().user_id) == (user.pk, user.pk)
    assert yaml.safe_load(export())["jobs"][0]["owner"] == "ann@example.com"
    assert "there is no user bob@example.com" in refused(file(text.replace("ann@", "bob@")))


ONE = 'jobs:\n  - name: a\n    schedule: "0 0 * * *"\n'
BOMB = "a: &a [x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in pairwise("bcdefghijklmn")
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: the file is empty"),
        ("jobs: []\nmore: 1\n", "line 2: unknown field more"),
        ("jobs:\n  - name: a\n    schedule: * * * * *\n", "quotes"),
        (
            ONE + "    prioritty: 1\n",
            "line 4: a: unknown field prioritty (did you mean priority?)",
        ),
        ('jobs:\n  - name: a\n    cronExpression: "0 0 * * *"\n', "(did you mean schedule?)"),
        (ONE + "    priority: 12\n", "line 4: a: priority: must be at most 9"),
        (
            ONE + "    catchUp: maybe\n",
            "must be one of none, latest, all",
        ),
        (
            'jobs:\n  - name: a\n\n    schedule: "61 0 * * *"\n',
            "line 4: a: schedule: Invalid cron expression",
        ),
        ("jobs:\n  - name: a\n", "line 2: a: schedule: Required"),
        ("jobs:\n  - name: a\n    recurrencePattern: daily\n", "scheduledAt: Required"),
        (
            ONE + '  - name: a\n    schedule: "0 1 * * *"\n',
            "line 4: a: name: is taken by the job in line 2",
        ),
        (
            ONE + '    schedule: "0 1 * * *"\n',
            "line 4: schedule is given twice",
        ),
        (
            ONE + "    handler: nothing\n",
            "line 4: a: handler: Unknown",
        ),
        (ONE + "    handler: command\n", "ENABLED_HANDLERS"),
        (
            ONE + "    headers:\n      X-Token: ${NOT_SET_ANYWHERE}\n",
            "line 5: a: headers.X-Token: the environment variable NOT_SET_ANYWHERE is not set",
        ),
        (
            ONE + '    headers:\n      X-Token: "***"\n',
            "line 5: a: headers.X-Token: *** keeps a stored value, and there is none",
        ),
        (
            ONE + '    payload:\n      key: "***"\n',
            "line 5: a: payload.key: ***",
        ),
        (
            ONE + "    dependsOn: [b]\n",
            "line 4: a: dependsOn.0: b: there is no such job",
        ),
        (
            ONE + '    dependsOn: [b]\n  - name: b\n    schedule: "0 0 * * *"\n    dependsOn: [a]\n',
            "a circle",
        ),
        ("jobs: !!python/object/apply:os.system ['true']\n", "line 1"),
        (
            ONE + "    headers:\n" + "".join(f"      X-{n}: hunter22\n" for n in range(51)),
            "at most 50 entries",
        ),
        (BOMB, "values"),
        ("[" * 2000, "nested deeper"),
        ("x" * 1_100_000, "longer than 1048576 bytes"),
    ],
)
def test_a_bad_file_changes_nothing_and_says_where(file: Any, text: str, words: str) -> None:
    good = 'jobs:\n  - name: kept\n    schedule: "0 0 * * *"\n'
    apply(file(good))
    said = refused(file(text), "--prune")
    assert words in said
    assert "hunter22" not in said
    assert list(Job.objects.present().values_list("name", flat=True)) == ["kept"]


def test_a_file_that_is_not_there_is_one_line() -> None:
    assert "cannot be read" in refused("/no/such/file.yaml")


def test_anchors_share_what_jobs_have_in_common(file: Any) -> None:
    text = """\
jobs:
  - &shared
    name: a
    schedule: "0 1 * * *"
    priority: 3
  - <<: *shared
    name: b
"""
    apply(file(text))
    assert Job.objects.get(name="b").priority == 3


def test_finished_jobs_are_left_out_of_an_export(file: Any) -> None:
    make_job(name="done", schedule_type="one_time", cron_expression=None, state="completed")
    make_job(name="going")
    assert [job["name"] for job in yaml.safe_load(export())["jobs"]] == ["going"]


def test_every_column_of_a_definition_is_in_the_file_or_known_not_to_be() -> None:
    from jobs.versions import DEFINITION

    assert set(DEFINITION) - set(documents.COLUMNS.values()) == {"name", "schedule_type"}
    properties = manifest.schema()["$defs"]["job"]["properties"]
    assert set(documents.COLUMNS) <= set(properties)
    assert set(properties) - set(documents.COLUMNS) == {
        "name",
        "maxRetries",
        "tags",
        "dependsOn",
        "owner",
        "status",
    }
