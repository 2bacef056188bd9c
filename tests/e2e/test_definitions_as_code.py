"""A stranger's day: a file is applied, a crontab imported, and the real scheduler runs both."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE = """\
version: 1
jobs:
  - name: say-hello
    scheduledAt: 2026-01-01T00:00:00Z
    handler: command
    payload:
      argv: [sh, -c, 'echo hello from $JOB_NAME > "$TARGET"']
      env:
        TARGET: {target}
  - name: call-home
    schedule: "0 0 1 1 *"
    api: https://example.com/hook
    headers:
      Authorization: Bearer ${{HOME_TOKEN}}
"""


class Installation:
    """An installation with a database of its own, used by its commands."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self.environment = {
            **os.environ,
            "DATABASE_URL": database_url,
            "ENABLED_HANDLERS": "command",
            "EXPORT_DIRECTORY": str(folder / "exports"),
            "LOG_DIRECTORY": "",
            "HOME_TOKEN": "a very secret token",
        }

    def manage(self, *words: str, ok: bool = True) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert (done.returncode == 0) is ok, done.stdout + done.stderr
        return done.stdout if ok else done.stderr


@pytest.fixture
def installation(migrated_url: str, tmp_path: Path) -> Installation:
    return Installation(migrated_url, tmp_path)


def test_a_file_is_applied_runs_and_comes_back(installation: Installation, tmp_path: Path) -> None:
    target, file = tmp_path / "said", tmp_path / "jobs.yaml"
    file.write_text(FILE.format(target=target))
    installation.manage("apply_jobs", str(file))
    installation.manage("run_scheduler", "--once")
    assert target.read_text() == "hello from say-hello\n"

    exported = tmp_path / "exported.yaml"
    installation.manage("export_jobs", "--output", str(exported))
    assert "a very secret token" not in exported.read_text()
    assert "say-hello" not in exported.read_text()  # it has run, and is over
    assert "0 created, 0 changed, 0 deleted, 1 unchanged" in installation.manage("apply_jobs", str(exported))

    checked = subprocess.run(
        [
            str(Path(sys.executable).with_name("check-jsonschema")),
            "--schemafile",
            str(ROOT / "jobs" / "manifest.schema.json"),
            str(file),
            str(exported),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_mistake_is_one_line_and_changes_nothing(installation: Installation, tmp_path: Path) -> None:
    file = tmp_path / "jobs.yaml"
    file.write_text(FILE.format(target=tmp_path / "said").replace("schedule:", "shedule:"))
    said = installation.manage("apply_jobs", str(file), ok=False)
    assert f"{file}: line 11: call-home: unknown field shedule (did you mean schedule?)" in said
    assert "Traceback" not in said
    assert "jobs: []" in installation.manage("export_jobs")


def test_a_crontab_is_imported_and_its_line_runs(installation: Installation, tmp_path: Path) -> None:
    target, crontab = tmp_path / "said", tmp_path / "crontab"
    crontab.write_text(f"0 0 1 1 * printf 'from cron' > {target}\n")
    installation.manage("import_crontab", str(crontab))
    said = installation.manage("run_job", "printf")
    assert "SUCCESS" in said
    assert target.read_text() == "from cron"
