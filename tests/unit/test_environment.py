"""Settings from the environment: what is read, what is refused, and the one line that says so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from scheduler_site import environment
from scheduler_site.environment import EXIT_BAD_SETTING, Environment

ROOT = Path(__file__).resolve().parents[2]
SECRETS = {"SECRET_KEY": "s" * 40, "JWT_SECRET": "j" * 40}


def env(root: Path = Path("/nowhere"), **values: str) -> Environment:
    return Environment(values, root=root)


READERS: dict[str, Callable[[Environment], object]] = {
    "whole": lambda e: e.whole("X", 5, 1, 10),
    "flag": lambda e: e.flag("X", False),
    "choice": lambda e: e.choice("X", "a", ("a", "b")),
    "duration": lambda e: e.duration("X", timedelta(hours=24), high=timedelta(days=365)),
    "rate": lambda e: e.rate("X", "12000/min"),
    "hosts": lambda e: e.hosts("X", ("localhost",)),
    "origins": lambda e: e.origins("X"),
    "networks": lambda e: e.networks("X"),
    "words": lambda e: e.words("X", (), ("command", "sql-report")),
    "url": lambda e: e.url("X", ("redis", "rediss")),
    "zone": lambda e: e.zone("X", "UTC"),
    "email": lambda e: e.email("X"),
    "path": lambda e: e.path("X", "admin/"),
    "fernet_keys": lambda e: e.fernet_keys("X"),
    "signing_secrets": lambda e: e.signing_secrets("X"),
}
FERNET = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@pytest.mark.parametrize(
    ("reader", "text", "expected"),
    [
        ("whole", "7", 7),
        ("whole", " 7 ", 7),
        ("whole", '"7"', 7),
        ("whole", "", 5),
        ("flag", "TRUE", True),
        ("flag", "0", False),
        ("flag", "'yes'", True),
        ("flag", "", False),
        ("choice", "B", "b"),
        ("choice", "", "a"),
        ("duration", "90s", timedelta(seconds=90)),
        ("duration", "30m", timedelta(minutes=30)),
        ("duration", "24h", timedelta(hours=24)),
        ("duration", "7d", timedelta(days=7)),
        ("duration", "3600", timedelta(hours=1)),
        ("duration", "", timedelta(hours=24)),
        ("rate", "60 / Min", "60/min"),
        ("rate", "", "12000/min"),
        ("hosts", "a.example, .b.example,[::1] ,*", ["a.example", ".b.example", "[::1]", "*"]),
        ("hosts", "", ["localhost"]),
        ("origins", "https://a.example,http://b:8080", ["https://a.example", "http://b:8080"]),
        ("networks", "10.1.2.3/8,::1", ["10.0.0.0/8", "::1/128"]),
        ("words", "Command,sql-report", ["command", "sql-report"]),
        ("url", "redis://cache:6379/1", "redis://cache:6379/1"),
        ("url", "", ""),
        ("zone", "Europe/Berlin", "Europe/Berlin"),
        ("email", "Ops <ops@example.com>", "Ops <ops@example.com>"),
        ("path", "/back-office", "back-office/"),
        ("path", "a/b/", "a/b/"),
        ("fernet_keys", f"{FERNET},{FERNET}", [FERNET, FERNET]),
        ("fernet_keys", "", []),
        ("signing_secrets", " whsec_YWJj  plain ", "whsec_YWJj  plain"),
        ("signing_secrets", "", ""),
    ],
)
def test_a_good_value_is_read(reader: str, text: str, expected: object) -> None:
    found = env(X=text)

    assert READERS[reader](found) == expected
    assert found.problems == {}


@pytest.mark.parametrize(
    ("reader", "text"),
    [
        ("whole", "0"),
        ("whole", "11"),
        ("whole", "1.5"),
        ("whole", "seven"),
        ("whole", "9" * 5000),
        ("whole", "٣"),
        ("flag", "maybe"),
        ("choice", "c"),
        ("duration", "soon"),
        ("duration", "0s"),
        ("duration", "400d"),
        ("duration", "-1h"),
        ("rate", "fast"),
        ("rate", "0/min"),
        ("hosts", "http://a.example"),
        ("hosts", "a.example:80"),
        ("origins", "a.example"),
        ("origins", "https://a.example/path"),
        ("origins", "https://[broken"),
        ("networks", "10.0.0.0/99"),
        ("networks", "example.com"),
        ("words", "rm"),
        ("url", "http://cache"),
        ("url", "redis://"),
        ("url", "redis://cache:99999"),
        ("zone", "Mars/Base"),
        ("zone", "../etc/passwd"),
        ("zone", "/etc/localtime"),
        ("email", "nobody"),
        ("path", "a b/"),
        ("path", "../admin"),
        ("fernet_keys", "short"),
        ("signing_secrets", "plain whsec_!!!"),
        ("signing_secrets", "whsec_"),
    ],
)
def test_a_bad_value_is_remembered_under_its_name_and_the_default_answered(reader: str, text: str) -> None:
    bad, unset = env(X=text), env()

    assert READERS[reader](bad) == READERS[reader](unset)
    assert list(bad.problems) == ["X"]
    assert "\n" not in bad.problems["X"]
    assert len(bad.problems["X"]) < 200


def test_an_alias_counts_when_the_name_is_empty_and_is_the_one_that_is_blamed() -> None:
    found = env(APP_ENV="", NODE_ENV="staging")

    assert found.choice("APP_ENV", "production", ("production", "test"), "NODE_ENV") == "production"
    assert list(found.problems) == ["NODE_ENV"]


def test_a_refusal_never_repeats_a_secret() -> None:
    found = env(ENCRYPTION_KEYS="hunter2hunter2", REDIS_URL="http://user:hunter2@cache")

    found.fernet_keys("ENCRYPTION_KEYS")
    found.url("REDIS_URL", ("redis",))

    assert set(found.problems) == {"ENCRYPTION_KEYS", "REDIS_URL"}
    assert "hunter2" not in " ".join(found.problems.values())


def test_a_secret_must_be_there_and_long_enough() -> None:
    found = env(SHORT="x" * 31, LONG="y" * 32)

    found.secret("SHORT", {}, least=32)
    found.secret("ABSENT", {}, least=32)

    assert found.secret("LONG", {}, least=32) == "y" * 32
    assert found.secret("KEPT", {"KEPT": "z" * 32}, least=32) == "z" * 32
    assert found.problems == {
        "SHORT": "must have at least 32 characters, it has 31",
        "ABSENT": "is required in production: a random text of at least 32 characters"
        " (to try things out: SETTINGS_PROFILE=demo, or development)",
    }


def test_a_relative_directory_is_made_inside_the_project(tmp_path: Path) -> None:
    found = env(tmp_path, EXPORT_DIRECTORY="'a/b'")

    assert found.directory("EXPORT_DIRECTORY") == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").is_dir()
    assert env(tmp_path).directory("LOG_DIRECTORY") is None


def test_a_file_in_the_place_of_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "exports").write_text("")
    found = env(tmp_path)

    found.directory("EXPORT_DIRECTORY", "exports")

    assert "cannot be made" in found.problems["EXPORT_DIRECTORY"]


def test_a_dotenv_file_is_read_in_the_forms_that_dotenv_tools_write(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "\ufeff# a comment\n"
        "PLAIN=one\n"
        " SPACED = two words \n"
        "export EXPORTED=three\n"
        'DOUBLE="four # not a comment"\n'
        "SINGLE='five'  # a comment\n"
        "INLINE=3000   # the port\n"
        "HASH=pass#word\n"
        "EMPTY=\n"
        "ONLY_COMMENT= # nothing\n"
        "$not a line at all\n",
        encoding="utf-8",
    )
    found = environment.read({}, root=tmp_path)

    names = ("PLAIN", "SPACED", "EXPORTED", "DOUBLE", "SINGLE", "INLINE", "HASH", "EMPTY", "ONLY_COMMENT")
    assert {name: found.text(name) for name in names} == {
        "PLAIN": "one",
        "SPACED": "two words",
        "EXPORTED": "three",
        "DOUBLE": "four # not a comment",
        "SINGLE": "five",
        "INLINE": "3000",
        "HASH": "pass#word",
        "EMPTY": "",
        "ONLY_COMMENT": "",
    }


def test_the_environment_wins_over_the_file_unless_it_is_empty(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=1\nHOST=file\n")
    found = environment.read({"PORT": "2", "HOST": ""}, root=tmp_path)

    assert found.text("PORT") == "2"
    assert found.text("HOST") == "file"


def test_reading_the_file_leaves_the_process_environment_alone(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SOMETHING_NEW=1\n")

    environment.read({}, root=tmp_path)

    assert "SOMETHING_NEW" not in os.environ


def test_a_dollar_sign_in_a_password_is_no_reference(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DB_PASS=$ecret\n")

    assert environment.read({"HOME": "/home/x"}, root=tmp_path).text("DB_PASS") == "$ecret"


def test_a_profile_lies_below_everything_that_is_set(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("AUTH_MODE=required\n")
    found = environment.read({"SETTINGS_PROFILE": "demo"}, root=tmp_path)

    assert (found.text("APP_ENV"), found.text("AUTH_MODE")) == ("development", "required")


def test_a_profile_does_not_hide_the_other_name_of_app_env(tmp_path: Path) -> None:
    found = environment.read({"SETTINGS_PROFILE": "demo", "NODE_ENV": "production"}, root=tmp_path)

    assert found.choice("APP_ENV", "test", ("production", "development"), "NODE_ENV") == "production"


def test_the_variables_of_a_library_are_those_of_file_and_environment(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OTEL_SERVICE_NAME='from file'\nOTEL_EMPTY=\nOTEL_B=file\n")
    found = environment.read({"OTEL_B": "environment", "OTHER": "x"}, root=tmp_path)
    assert found.starting_with("OTEL_") == {"OTEL_SERVICE_NAME": "from file", "OTEL_B": "environment"}


def test_an_unknown_profile_is_refused(tmp_path: Path) -> None:
    assert "SETTINGS_PROFILE" in environment.read({"SETTINGS_PROFILE": "x"}, root=tmp_path).problems


def start(*command: str, **values: str) -> subprocess.CompletedProcess[str]:
    """Start a program of the project with nothing but these variables set."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "APP_ENV": "test", **SECRETS, **values},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("APP_ENV", "staging"),
        ("DATABASE_URL", "oracle://db/name"),
        ("DATABASE_URL", "postgresql://db"),
        ("DB_POOL_MIN", "30"),
        ("JWT_EXPIRATION", "soon"),
        ("JWT_SECRET", "short"),
        ("JWT_SECRET", SECRETS["SECRET_KEY"]),
        ("ENCRYPTION_KEYS", "nonsense"),
        ("ALLOWED_HOSTS", "https://example.com"),
        ("CORS_ALLOWED_ORIGINS", "*"),
        ("API_RATE_LIMIT", "lots"),
        ("LOG_LEVEL", "loud"),
        ("LOG_DIRECTORY", "/proc/nothing"),
        ("SCHEDULER_TIMEZONE", "Moon"),
        ("HTTP_ALLOWED_CIDRS", "10.0.0.0/40"),
        ("ENABLED_HANDLERS", "shell"),
        ("CELERY_BROKER_URL", "http://broker"),
        ("ENGINE", "threads"),
        ("EMAIL_URL", "pigeon://roof"),
        ("ADMIN_PATH", "a b"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ],
)
def test_a_bad_setting_stops_the_start_with_one_line_that_names_it(name: str, value: str) -> None:
    extra = {"DB_HOST": "db", "DB_NAME": "n"} if name.startswith("DB_") else {}
    if name == "OTEL_EXPORTER_OTLP_PROTOCOL":
        extra = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
    done = start("manage.py", "check", **{name: value}, **extra)

    assert done.returncode == EXIT_BAD_SETTING
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"Bad setting {name}: ")
    assert done.stdout == ""


def test_celery_without_a_broker_stops_the_start_with_one_line() -> None:
    done = start("manage.py", "check", ENGINE="celery")

    assert done.returncode == EXIT_BAD_SETTING
    assert done.stderr == "Bad setting CELERY_BROKER_URL: is needed by ENGINE=celery: amqp://… or redis://…\n"


def test_celery_that_is_not_installed_stops_the_start_with_one_line(tmp_path: Path) -> None:
    """An environment without it: the package is hidden from the search for it."""
    hidden = "import sys; sys.modules['celery'] = None"
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u; f = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'celery' else f(name, *rest)\n" + hidden
    )
    done = start(
        "manage.py", "check", ENGINE="celery", CELERY_BROKER_URL="redis://broker", PYTHONPATH=str(tmp_path)
    )

    assert done.returncode == EXIT_BAD_SETTING
    assert done.stderr == "Bad setting ENGINE: celery is an extra: pip install -r requirements-celery.txt\n"


def test_a_celery_worker_without_its_engine_is_told_in_one_line() -> None:
    done = start("-m", "celery", "-A", "scheduler_site", "worker")

    assert done.returncode == EXIT_BAD_SETTING
    assert done.stderr.strip().splitlines()[-1].startswith("Bad setting ENGINE: a Celery worker needs")


def test_several_bad_settings_are_all_named_at_once() -> None:
    done = start("manage.py", "check", LEASE_SECONDS="0", LOG_LEVEL="loud")

    assert [line.split(":")[0] for line in done.stderr.splitlines()] == [
        "Bad setting LEASE_SECONDS",
        "Bad setting LOG_LEVEL",
    ]


@pytest.mark.parametrize(
    "command",
    [
        ("-m", "gunicorn"),
        ("-m", "gunicorn", "--config", "python:tests.unit.empty_gunicorn_config", "scheduler_site.wsgi"),
        ("-c", "import scheduler_site.wsgi"),
    ],
)
def test_gunicorn_ends_instead_of_starting_its_workers_again_for_ever(command: tuple[str, ...]) -> None:
    done = start(*command, LEASE_SECONDS="-1", PORT="0" if "scheduler_site.wsgi" in command else "1")

    assert done.returncode == EXIT_BAD_SETTING
    assert "Bad setting LEASE_SECONDS: must be a whole number" in done.stderr
    assert "Traceback" not in done.stderr


def test_production_without_secrets_does_not_start() -> None:
    done = start("manage.py", "check", APP_ENV="production", SECRET_KEY="", JWT_SECRET="")

    assert done.returncode == EXIT_BAD_SETTING
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == [
        "Bad setting SECRET_KEY",
        "Bad setting JWT_SECRET",
    ]


def test_the_product_is_in_production_unless_it_is_told_otherwise() -> None:
    code = (
        "from django.conf import settings as s; print(s.APP_ENV, s.DEBUG, s.AUTH_MODE, s.REGISTRATION_OPEN)"
    )
    done = start("-c", code, APP_ENV="", DJANGO_SETTINGS_MODULE="scheduler_site.settings")

    assert done.stdout.split() == ["production", "False", "required", "False"], done.stderr


def test_production_settings_with_https_pass_djangos_deployment_check() -> None:
    done = start(
        *("manage.py", "check", "--deploy", "--fail-level", "WARNING"),
        APP_ENV="production",
        HTTPS_ONLY="true",
        SECRET_KEY="kJ8f3mQ0vX7zR2wL5tY9bN4cH6gD1sA-pE_uWiOoTrKlMxZq",
        JWT_SECRET="B7nV2cX9zL4kJ1hG6fD3sA8pO5iU0yT-rE_wQmNbVcXzLkJh",
    )

    assert done.returncode == 0, done.stderr


def test_the_example_names_every_setting_that_is_read() -> None:
    read: set[str] = set()
    for name in ("settings.py", "database.py"):
        text = (ROOT / "scheduler_site" / name).read_text()
        for call in re.findall(r"env\.\w+\(([^()]*)", text):
            read |= set(re.findall(r'"([A-Z][A-Z0-9_]{3,})"', call))
    explained = set(re.findall(r"[A-Z][A-Z0-9_]{3,}", (ROOT / ".env.example").read_text()))

    assert len(read) > 50
    assert read - explained == set()


def test_the_example_shows_the_defaults() -> None:
    code = (
        "import json; from scheduler_site import settings as s\n"
        "found = {k: v for k, v in vars(s).items() if k.isupper() and k != 'LOGGING'}\n"
        "print(json.dumps(found, default=str, sort_keys=True))"
    )
    lines = re.findall(r"^#([A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    example = {name: value for name, value in reversed(lines) if name not in ("DB_HOST", "APP_ENV")}

    plain = start("-c", code, APP_ENV="production")
    shown = start("-c", code, APP_ENV="production", **example)

    assert shown.stderr == plain.stderr == ""
    assert shown.stdout == plain.stdout
