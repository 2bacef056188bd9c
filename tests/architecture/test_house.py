"""The lines of the house that must not be crossed: who imports whom, and what no code may do."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]
APPS = ("web", "accounts", "jobs", "executions", "reports", "alerts")
FACES = ("admin", "api", "management")


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*APPS, "scheduler_site", include_external_packages=False)


def face_of(module: str) -> tuple[str, str] | None:
    """The app and the kind of face that the module belongs to, or None for a module of the domain."""
    app, *rest = module.split(".")
    return (app, rest[0]) if app != "web" and rest and rest[0] in FACES else None


def sources() -> Iterator[tuple[str, str]]:
    """Every product module: its path from the project's root, and its text."""
    for folder in (*APPS, "scheduler_site"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def offenders(pattern: str, *, outside: tuple[str, ...] = ()) -> list[str]:
    """Where the pattern occurs in product code, as `path:line`, outside the named paths."""
    found = []
    for path, text in sources():
        if not path.startswith(outside):
            lines = enumerate(text.splitlines(), 1)
            found += [
                f"{path}:{number}: {line.strip()}" for number, line in lines if re.search(pattern, line)
            ]
    return found


def test_every_layer_imports_only_downwards() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command as run; run()",
            "--no-cache",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-3000:]


def test_only_the_roof_and_the_face_itself_import_a_face() -> None:
    found = []
    for importer in graph().modules:
        for imported in graph().find_modules_directly_imported_by(importer):
            face = face_of(imported)
            mine = face_of(importer)
            at_home = mine is not None and face is not None and mine[0] == face[0]
            if face and not at_home and not importer.startswith("scheduler_site"):
                found.append(f"{importer} imports {imported}")

    assert found == []


def test_no_app_imports_the_roof() -> None:
    inside = {module for module in graph().modules if not module.startswith("scheduler_site")}
    roofed = {
        module
        for module in inside
        for imported in graph().find_modules_directly_imported_by(module)
        if imported.startswith("scheduler_site")
    }

    assert roofed == set()


def test_no_module_has_a_name_that_says_nothing() -> None:
    vague = {
        "utils",
        "util",
        "helpers",
        "helper",
        "common",
        "base",
        "manager",
        "managers",
        "service",
        "services",
    }
    found = [path for path, _ in sources() if vague & set(re.split(r"[/.]", path))]

    assert found == []


def test_apps_do_not_talk_by_signals() -> None:
    # post_migrate is Django's own way to make groups; nothing of ours is sent or listened to.
    found = offenders(r"\b(pre_save|post_save|pre_delete|post_delete|m2m_changed)\b|\bSignal\(")

    assert found == []


@pytest.mark.parametrize(
    ("what", "pattern", "allowed"),
    [
        ("HTML is escaped by format_html, never trusted", r"\bmark_safe\b|\|\s*safe\b|autoescape off", ()),
        (
            "every outgoing call passes the egress guard",
            r"\brequests\.(get|post|put|patch|delete|head)\(",
            (),
        ),
        ("no text reaches a shell", r"shell\s*=\s*True|os\.system\(|os\.popen\(", ()),
        ("no data is unpickled", r"\bpickle\b|\bmarshal\b|\bshelve\b", ()),
        ("YAML is loaded safely", r"\byaml\.(load|unsafe_load|full_load)\(", ()),
        ("no text is evaluated", r"(?<![\w.])(eval|exec)\(", ()),
        ("temporary names are made by the system", r"tempfile\.mktemp\(", ()),
    ],
)
def test_a_known_danger_is_not_in_the_code(what: str, pattern: str, allowed: tuple[str, ...]) -> None:
    assert offenders(pattern, outside=allowed) == [], what


def test_templates_trust_no_text_either() -> None:
    found = [
        f"{path.relative_to(ROOT)}"
        for folder in (*APPS, "scheduler_site")
        for path in (ROOT / folder).rglob("*.html")
        if re.search(
            r"\|\s*safe\b|autoescape off|\son\w+=|javascript:|style=", path.read_text(encoding="utf-8")
        )
    ]

    assert found == []


def clock_reads(text: str) -> list[int]:
    """The lines on which the code asks the host what time it is."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
            asked = (name, node.func.attr)
            if asked in {("datetime", "now"), ("datetime", "utcnow"), ("date", "today"), ("timezone", "now")}:
                found.append(node.lineno)
            if asked in {("time", "time"), ("time", "time_ns")}:
                found.append(node.lineno)
    return found


@pytest.mark.parametrize(
    "folder", ["executions/engine/", "executions/lifecycle", "jobs/timing/", "jobs/contract"]
)
def test_the_engine_and_the_rules_take_the_time_from_outside(folder: str) -> None:
    found = [
        f"{path}:{line}"
        for path, text in sources()
        if path.startswith(folder) and path != "executions/engine/clock.py"
        for line in clock_reads(text)
    ]

    assert found == []


def test_migrations_take_no_time_from_the_machine_that_made_them() -> None:
    found = [
        path for path, text in sources() if "/migrations/" in path and re.search(r"datetime\(20\d\d", text)
    ]

    assert found == []


def parts(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


@pytest.mark.parametrize(
    ("package", "least", "why"),
    [
        ("django", "5.2", "a release with long-term support"),
        ("djangorestframework", "3.17.2", "too large a body must not become an HTML page"),
        ("pyjwt", "2.10.1", "part of an issuer, and a public key for a secret, were accepted before"),
        ("urllib3", "2.7", "decompression bombs"),
        ("psycopg", "3.2", "the pool"),
    ],
)
def test_no_library_is_older_than_the_defect_we_know_of(package: str, least: str, why: str) -> None:
    assert parts(version(package)) >= parts(least), why


def test_every_requirement_is_pinned_with_its_hash() -> None:
    for name in (
        "requirements.txt",
        "requirements-celery.txt",
        "requirements-otel.txt",
        "requirements-dev.txt",
    ):
        text = (ROOT / name).read_text()
        pinned = re.findall(r"^([\w.\[\]-]+)==\S+(?: ; [^\n\\]+)? \\\n    --hash=sha256:", text, re.MULTILINE)
        starts = re.findall(r"^([a-zA-Z][^\s=]*)", text, re.MULTILINE)

        assert pinned == starts, name
        assert "index-url" not in text
