"""The `.env` files that users of the reference systems have: each starts the project, or is told in one line why not.

The files are written as those systems document them: their names, quotes, comments and placeholders.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scheduler_site.environment import EXIT_BAD_SETTING

ROOT = Path(__file__).resolve().parents[2]
SHOW = """
import json, django
django.setup()
from django.conf import settings as s
database = {key: str(value) for key, value in s.DATABASES["default"].items()}
names = "APP_ENV PORT REDIS_URL LOG_LEVEL MAX_RETRY_ATTEMPTS RETRY_DELAY_MS WORKER_CONCURRENCY".split()
shown = {name: getattr(s, name) for name in names} | {"JWT": s.JWT_EXPIRATION.total_seconds()}
print(json.dumps(shown | {"DATABASE": database, "POLL": s.SCHEDULER_POLL_INTERVAL_MS}))
"""
Start = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start the project from a checkout that has this `.env` and an empty environment."""
    shutil.copytree(ROOT / "scheduler_site", tmp_path / "scheduler_site")

    def run(dotenv: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / ".env").write_text(dotenv)
        return subprocess.run(
            [sys.executable, "-c", SHOW],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": f"{tmp_path}:{ROOT}",
                "DJANGO_SETTINGS_MODULE": "scheduler_site.settings",
            },
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    return run


def shown(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_batch_processor_driven_by_sql(start: Start) -> None:
    found = shown(
        start(
            """\
# Database configuration
DB_HOST=localhost
DB_PORT=5433
DB_NAME=batch_processor
DB_USER=postgres
DB_PASS='pass word'   # change me

NODE_ENV=development
LOG_LEVEL=debug
"""
        )
    )
    assert (found["APP_ENV"], found["LOG_LEVEL"]) == ("development", "debug")
    database = found["DATABASE"]
    assert [database[key] for key in ("HOST", "PORT", "NAME", "USER", "PASSWORD")] == [
        "localhost", "5433", "batch_processor", "postgres", "pass word",
    ]  # fmt: skip


METRICS_API = """\
NODE_ENV=production
PORT=3000
DATABASE_URL="postgresql://scheduler:s3cret%40@postgres:5432/job_scheduler?schema=public"
DB_POOL_MIN=2
DB_POOL_MAX=20
REDIS_HOST=redis
REDIS_PORT=6380
LOG_LEVEL=info
SCHEDULER_POLL_INTERVAL_MS=500
WORKER_CONCURRENCY=25
SOMETHING_OF_THEIR_OWN=true
"""


def test_the_api_with_metrics_and_dead_letters(start: Start) -> None:
    secrets = f"SECRET_KEY={'s' * 40}\nJWT_SECRET={'j' * 40}\n"
    found = shown(start(METRICS_API + secrets))
    assert (found["PORT"], found["POLL"], found["WORKER_CONCURRENCY"]) == (3000, 500, 25)
    assert found["REDIS_URL"] == "redis://redis:6380/0"
    assert (found["DATABASE"]["NAME"], found["DATABASE"]["PASSWORD"]) == ("job_scheduler", "s3cret@")


def test_the_same_without_secrets_is_told_one_line_for_each(start: Start) -> None:
    done = start(METRICS_API)
    assert done.returncode == EXIT_BAD_SETTING
    assert [line.split(": ")[0] for line in done.stderr.splitlines()] == [
        "Bad setting SECRET_KEY",
        "Bad setting JWT_SECRET",
    ]


JWT_API = """\
# Application
NODE_ENV=development
PORT=3000

# Database
DB_HOST=localhost
DB_PORT=5432
DB_USERNAME=postgres
DB_PASSWORD=postgres
DB_DATABASE=job_scheduler

# JWT
JWT_SECRET={secret}
JWT_EXPIRATION=7d

# Jobs
MAX_RETRY_ATTEMPTS=5
RETRY_DELAY_MS=2000
"""


def test_the_jwt_api_with_one_time_and_recurring_jobs(start: Start) -> None:
    found = shown(start(JWT_API.format(secret="a-long-random-text-of-forty-characters-01")))
    assert (found["JWT"], found["MAX_RETRY_ATTEMPTS"], found["RETRY_DELAY_MS"]) == (7 * 86_400, 5, 2000)
    assert (found["DATABASE"]["NAME"], found["DATABASE"]["USER"]) == ("job_scheduler", "postgres")


def test_the_same_with_the_short_secret_of_its_example_is_told_one_line(start: Start) -> None:
    done = start(JWT_API.format(secret="your-secret-key"))
    assert done.returncode == EXIT_BAD_SETTING
    assert done.stderr == "Bad setting JWT_SECRET: must have at least 32 characters, it has 15\n"


def test_the_five_route_crud_service(start: Start) -> None:
    found = shown(
        start(
            "export NODE_ENV=development\nexport PORT=3000\n"
            "DATABASE_URL=postgres://user:password@localhost:5432/jobs?schema=public&connection_limit=5\n"
        )
    )
    assert (found["PORT"], found["DATABASE"]["NAME"], found["DATABASE"]["USER"]) == (3000, "jobs", "user")


def test_the_three_route_http_caller(start: Start) -> None:
    found = shown(start("PORT=8080\r\nAPP_ENV=development\r\nDATABASE_URL='sqlite:///scheduler.db'\r\n"))
    assert found["PORT"] == 8080
    assert found["DATABASE"]["NAME"].endswith("/scheduler.db")
