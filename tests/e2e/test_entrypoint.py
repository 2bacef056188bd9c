"""The script that a container starts, run as a container would run it."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests import postgres

ROOT = Path(__file__).resolve().parents[2]


def environment(database_url: str, folder: Path, **more: str) -> dict[str, str]:
    """The variables of a container: nothing of this process but its path."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "APP_ENV": "production",
        "SECRET_KEY": "only-for-this-test-" + "s" * 20,
        "JWT_SECRET": "only-for-this-test-" + "j" * 20,
        "DATABASE_URL": database_url,
        "LOG_DIRECTORY": str(folder / "logs"),
        "EXPORT_DIRECTORY": str(folder / "exports"),
        **more,
    }


def test_a_scheduler_container_migrates_an_empty_database_and_runs(database_url: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "docker/entrypoint.sh", "scheduler", "--once"],
        cwd=ROOT,
        env=environment(database_url, tmp_path),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "Applying executions.0001_initial" in done.stdout
    assert (tmp_path / "exports").is_dir()
    assert (tmp_path / "logs").is_dir()


def test_a_web_container_serves_and_ends_well_when_it_is_told_to(database_url: str, tmp_path: Path) -> None:
    port = postgres.free_port()
    web = subprocess.Popen(
        ["sh", "docker/entrypoint.sh"],
        cwd=ROOT,
        env=environment(database_url, tmp_path, PORT=str(port)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert web.stderr is not None
        printed = ""
        for line in web.stderr:
            printed += line
            if "Booting worker" in line:
                break
        assert "Listening at" in printed, printed
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/auth/me", timeout=30)
        assert refused.value.code == 401
        assert refused.value.headers["Content-Type"] == "application/json"
        refused.value.close()
        web.terminate()
        web.communicate(timeout=60)
    finally:
        web.kill()

    assert web.returncode == 0
    assert list((tmp_path / "logs").glob("all-*.log"))


def test_a_container_without_secrets_says_so_and_ends(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "docker/entrypoint.sh", "web"],
        cwd=ROOT,
        env=environment(f"sqlite:///{tmp_path / 'db.sqlite3'}", tmp_path, SECRET_KEY=""),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == 3
    assert done.stderr.startswith("Bad setting SECRET_KEY: is required")
    assert done.stderr.count("\n") == 1
