"""The files of deploy/: they name what exists, and stop no sooner than the service wants."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.core.management import get_commands
from django.urls import resolve

from executions.api.prometheus import SchedulerFigures
from scheduler_site import environment
from tests.architecture.test_documentation import anchors_of, rows
from web.request_metrics import write_metrics

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
SOCKETS = sorted((DEPLOY / "systemd").glob("*.socket"))
SHUTDOWN_SECONDS = int(rows()["SHUTDOWN_TIMEOUT_SECONDS"][0])
GRACE = 10  # seconds that leaving takes besides


def documents() -> list[Any]:
    files = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    return [document for file in files for document in yaml.safe_load_all(file.read_text())]


def deployments() -> Iterator[tuple[str, Any]]:
    """Each deployment's pod by the deployment's name."""
    for document in documents():
        if document["kind"] == "Deployment":
            yield document["metadata"]["name"], document["spec"]["template"]["spec"]


def unit(path: Path) -> ConfigParser:
    parser = ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(path)
    return parser


def test_kubernetes_gives_each_pod_its_probes_and_the_time_to_stop() -> None:
    found = dict(deployments())

    assert set(found) == {"web", "scheduler", "worker"}
    for name, pod in found.items():
        (container,) = pod["containers"]
        assert pod["terminationGracePeriodSeconds"] >= SHUTDOWN_SECONDS + GRACE, name
        assert {"startupProbe", "livenessProbe"} <= set(container), name
        assert container["args"] == [name]


def test_kubernetes_asks_what_the_service_answers() -> None:
    for _, pod in deployments():
        for container in pod["containers"]:
            for probe in (container[key] for key in container if key.endswith("Probe")):
                if "httpGet" in probe:
                    resolve(probe["httpGet"]["path"])
                    assert probe["httpGet"]["httpHeaders"] == [{"name": "Host", "value": "localhost"}]
                else:
                    assert probe["exec"]["command"][2] in get_commands()


def test_kubernetes_runs_nothing_as_root_and_writes_nowhere_but_on_volumes() -> None:
    user = re.search(r"^USER (\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert user
    for name, pod in deployments():
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] == int(user[1]), name
        assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
        assert {mount["name"] for mount in container["volumeMounts"]} == {
            each["name"] for each in pod["volumes"]
        }


def test_every_setting_that_is_set_is_one() -> None:
    said: dict[str, str] = {}
    for document in documents():
        said |= document.get("data", {}) | document.get("stringData", {})
    said |= environment.read_file(DEPLOY / "systemd" / "batch-scheduler.env")

    assert set(said) - set(rows()) == set()
    secret = {
        name for name in said if name in ("SECRET_KEY", "JWT_SECRET", "ENCRYPTION_KEYS", "ADMIN_PASSWORD")
    }
    assert {name: said[name] for name in secret} == dict.fromkeys(secret, "")


def test_the_parts_of_the_kustomization_exist_and_fit() -> None:
    listed = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())["resources"]

    assert [name for name in listed if not (DEPLOY / "kubernetes" / name).exists()] == []
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed here (Debian: apt-get install kubernetes-client)")
    done = subprocess.run(
        ["kubectl", "kustomize", str(DEPLOY / "kubernetes")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", UNITS, ids=[path.name for path in UNITS])
def test_a_unit_gives_time_to_stop_and_does_not_repeat_a_bad_setting(path: Path) -> None:
    service = unit(path)["Service"]

    assert int(service["TimeoutStopSec"]) >= SHUTDOWN_SECONDS + GRACE
    assert int(service["RestartPreventExitStatus"]) == environment.EXIT_BAD_SETTING
    assert service["Restart"] == "always"
    for command in re.findall(r"manage\.py (\w+)", path.read_text()):
        assert command in get_commands()


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not installed here")
    for path in UNITS:
        text = re.sub(r"/srv/batch-scheduler/\.venv/bin/\w+", sys.executable, path.read_text())
        (tmp_path / path.name).write_text(text)
    for path in SOCKETS:
        shutil.copy(path, tmp_path)

    done = subprocess.run(
        ["systemd-analyze", "verify", *(str(tmp_path / path.name) for path in [*SOCKETS, *UNITS])],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert [line for line in done.stderr.splitlines() if line.startswith(("batch-", str(tmp_path)))] == []


def test_the_environment_of_the_cron_host_passes_djangos_review_of_its_security(tmp_path: Path) -> None:
    given = environment.read_file(DEPLOY / "systemd" / "batch-scheduler.env")
    given |= {
        "SECRET_KEY": "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8S9t0U1v2W3x4Y5z6",
        "JWT_SECRET": "Z6y5X4w3V2u1T0s9R8q7P6o5N4m3L2k1J0i9H8g7F6e5D4c3B2a1",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'db.sqlite3'}",
        "LOG_DIRECTORY": str(tmp_path / "logs"),
        "EXPORT_DIRECTORY": str(tmp_path / "exports"),
    }

    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr


# Figures and alerts ---------------------------------------------------------------------------------


def used_figures(expression: str) -> set[str]:
    """The names of figures in a PromQL expression."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]", "", expression)
    return set(re.findall(r"\b(?:scheduler|http|db)_\w+\b", bare))


def expressions() -> list[str]:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
    panels = json.loads((DEPLOY / "grafana" / "scheduler.json").read_text())["panels"]
    return [rule["expr"] for rule in rules] + [
        target["expr"] for panel in panels for target in panel["targets"]
    ]


@pytest.mark.django_db
def test_alerts_and_panels_use_figures_that_exist() -> None:
    families = re.findall(r"^# TYPE (\w+) (\w+)", write_metrics([SchedulerFigures()]).decode(), re.MULTILINE)
    parts = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}
    there = {name + end for name, kind in families for end in parts.get(kind, ("",))}

    used = set().union(*(used_figures(expression) for expression in expressions()))

    assert len(used) > 8
    assert used - there == set()


def test_prometheus_understands_the_rules_and_they_fire_when_they_should() -> None:
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed here (Debian, Ubuntu: apt-get install prometheus)")
    for command in (
        ("check", "rules", "deploy/prometheus/alerts.yml"),
        ("test", "rules", "tests/architecture/alerts.yml"),
    ):
        done = subprocess.run(
            ["promtool", *command], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_nginx_understands_its_file(tmp_path: Path) -> None:
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed here")
    key, text = make_certificate(tmp_path), (DEPLOY / "nginx" / "batch-scheduler.conf").read_text()
    text = re.sub(r"/etc/letsencrypt\S+\.pem", str(key), text)
    places = "".join(
        f"{kind}_temp_path {tmp_path};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = tmp_path / "nginx.conf"
    whole.write_text(f"pid {tmp_path}/pid; events {{}} http {{ {places} access_log off; {text} }}")

    done = subprocess.run(
        [nginx, "-t", "-q", "-e", "stderr", "-c", str(whole)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def make_certificate(folder: Path) -> Path:
    """A file with a key and a certificate that it signed itself."""
    path = folder / "both.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "scheduler.example.com")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_every_alert_rule_leads_to_its_page_of_the_runbook() -> None:
    for rule in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]:
        page, _, anchor = rule["annotations"]["runbook"].partition("#")

        assert anchor in anchors_of(ROOT / page), rule["alert"]
        assert f"`{rule['alert']}`" in (ROOT / page).read_text(), rule["alert"]
