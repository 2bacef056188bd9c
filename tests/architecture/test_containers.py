"""The image and the compose files: linted, safe by default, and made of what the repository holds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from scheduler_site import environment

ROOT = Path(__file__).resolve().parents[2]
SECRETS = ("SECRET_KEY", "JWT_SECRET", "DB_PASSWORD", "ADMIN_PASSWORD", "ENCRYPTION_KEYS", "WEBHOOK_SECRET")


def run(*command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    settings: dict[str, Any] = {
        "cwd": ROOT,
        "capture_output": True,
        "text": True,
        "timeout": 100,
        "check": False,
    }
    return subprocess.run(command, **(settings | options))


def tool(name: str) -> str:
    """A program of the virtual environment the tests run in."""
    return str(Path(sys.executable).parent / name)


def compose(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def test_the_dockerfile_passes_its_linter() -> None:
    done = run(tool("hadolint"), "Dockerfile")

    assert done.returncode == 0, done.stdout


def test_the_compose_files_have_the_form_that_compose_wants() -> None:
    done = run(
        *(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec"),
        *("docker-compose.yml", "docker-compose.override.yml"),
    )

    assert done.returncode == 0, done.stdout


def test_compose_itself_accepts_the_files() -> None:
    commands = [("docker", "compose"), ("docker-compose",)]
    found = [words for words in commands if shutil.which(words[0]) and not run(*words, "version").returncode]
    if not found:
        pytest.skip("docker compose is not installed here (Debian, Ubuntu: apt-get install docker-compose)")

    for files in ((), ("-f", "docker-compose.yml")):
        done = run(*found[0], *files, "config", "--quiet")
        assert done.returncode == 0, done.stderr


def test_the_image_runs_without_root_under_an_init_and_tells_its_health() -> None:
    text = (ROOT / "Dockerfile").read_text()

    assert re.search(r"^USER 1001$", text, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["tini", "--", "docker/entrypoint.sh"\]$', text, re.MULTILINE)
    assert re.search(r'^\s+CMD \["python", "manage.py", "healthcheck"\]$', text, re.MULTILINE)
    assert re.search(r'^VOLUME \["/app/logs", "/app/exports"\]$', text, re.MULTILINE)


def test_what_the_image_copies_exists_and_holds_no_secret() -> None:
    allowed = re.findall(r"^!(.+?)/?$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)

    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"
    assert [name for name in allowed if not (ROOT / name).exists()] == []
    assert not any(".env" in name or "secret" in name for name in allowed)


def test_production_compose_holds_no_secret_and_the_demo_is_kept_apart() -> None:
    base, demo = compose("docker-compose.yml"), compose("docker-compose.override.yml")

    for service in ("web", "scheduler", "worker"):
        given = base["services"][service]["environment"]
        assert {name: given[name] for name in SECRETS} == {name: f"${{{name}:-}}" for name in SECRETS}
        assert set(demo["services"][service]["environment"]) >= {"SECRET_KEY", "JWT_SECRET", "DB_PASSWORD"}
    assert base["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"] == "${DB_PASSWORD:-}"


def test_every_service_restarts_and_tells_its_health() -> None:
    for name, service in compose("docker-compose.yml")["services"].items():
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"], name


def test_the_demo_of_compose_starts_and_production_without_secrets_does_not(tmp_path: Path) -> None:
    base = compose("docker-compose.yml")["services"]["web"]["environment"]
    demo = compose("docker-compose.override.yml")["services"]["web"]["environment"]
    plain = {name: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", str(value)) for name, value in base.items()}
    there = {"PATH": os.environ["PATH"], "LOG_DIRECTORY": str(tmp_path), "EXPORT_DIRECTORY": str(tmp_path)}

    started = run(sys.executable, "manage.py", "check", env={**plain, **demo, **there})
    refused = run(sys.executable, "manage.py", "check", env={**plain, **there})

    assert started.returncode == 0, started.stderr
    assert refused.returncode == environment.EXIT_BAD_SETTING
    assert "Bad setting SECRET_KEY: is required" in refused.stderr


def test_the_entrypoint_is_a_script_the_shell_can_read_and_runs_any_other_command() -> None:
    script = ROOT / "docker" / "entrypoint.sh"

    assert os.access(script, os.X_OK)
    assert run("sh", "-n", str(script)).returncode == 0
    assert run("sh", str(script), "echo", "two words").stdout == "two words\n"


def test_the_image_can_collect_its_static_files(tmp_path: Path) -> None:
    app = tmp_path / "app"
    allowed = re.findall(r"^!(.+?)/?$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    for name in allowed:
        source, target = ROOT / name, app / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    line = next(part for part in (ROOT / "Dockerfile").read_text().split("&&") if "collectstatic" in part)
    command = line.replace("\\\n", " ").strip()

    done = run(
        "sh", "-c", command, cwd=app, env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    )

    assert done.returncode == 0, done.stderr
    assert (app / "staticfiles" / "staticfiles.json").exists()
    assert list((app / "staticfiles" / "admin" / "css").glob("base.*.css.gz"))
    assert not (app / ".secrets.env").exists()
