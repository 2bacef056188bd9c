"""One writer of state, and one chart: code, table and documentation say the same."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from executions.chart import ARROWS, NEW, sources
from executions.lifecycle.claims import STILL_OURS, STILL_WAITS
from executions.models import FINAL, WAITING, Execution, Status

ROOT = Path(__file__).resolve().parents[2]
APPS = ("web", "accounts", "jobs", "executions", "reports", "alerts", "scheduler_site")
WRITER = "executions/lifecycle/"


def product_sources() -> list[tuple[str, str]]:
    return [
        (str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
        for app in APPS
        for path in sorted((ROOT / app).rglob("*.py"))
        if "migrations" not in path.parts
    ]


def documented_arrows() -> set[tuple[str, str, str]]:
    text = (ROOT / "docs/lifecycle.md").read_text(encoding="utf-8")
    table = text.partition("## Every arrow")[2].partition("## The life of a job")[0]
    rows = re.findall(r"^\| (—|[A-Z]+) \| ([A-Z]+) \| (\w+) \|", table, re.MULTILINE)
    return {(source, target, verb) for source, target, verb in rows}


def charted_arrows() -> set[tuple[str, str, str]]:
    text = (ROOT / "docs/lifecycle.md").read_text(encoding="utf-8")
    found = set()
    for source, target, verbs in re.findall(r"^    (\S+) --> (\S+): (.+)$", text, re.MULTILINE):
        found |= {(NEW if source == "[*]" else source, target, verb) for verb in verbs.split(", ")}
    return found


def test_the_documentation_shows_every_arrow_of_the_code_and_no_other() -> None:
    arrows = {(arrow.source, arrow.target, arrow.verb) for arrow in ARROWS}
    assert documented_arrows() == arrows
    assert charted_arrows() == arrows


def test_the_chart_knows_the_states_of_the_table() -> None:
    named = {arrow.target for arrow in ARROWS} | {arrow.source for arrow in ARROWS} - {NEW}
    assert named == set(Status.values)


def test_final_states_are_never_left() -> None:
    assert {arrow.source for arrow in ARROWS} & set(FINAL) == set()


def test_the_writer_moves_only_along_the_arrows() -> None:
    """Each UPDATE of the writer names the states it comes from, and they are the chart's."""
    takes = (ROOT / WRITER / "takes.py").read_text(encoding="utf-8")
    completion = (ROOT / WRITER / "completion.py").read_text(encoding="utf-8")
    waiting = (ROOT / WRITER / "waiting.py").read_text(encoding="utf-8")
    assert set(sources("RUNNING")) == set(WAITING)
    claim = takes.partition("def _claim(")[2].partition("def _open_attempts(")[0]
    assert "WHERE e.id = v.key AND {STILL_WAITS}" in claim
    assert STILL_WAITS == "coalesce(e.status, '') IN ('PENDING', 'RETRYING')"
    move = completion.partition("def _move(")[2].partition("def _close_attempts(")[0]
    assert "WHERE e.id = v.key AND {STILL_OURS}" in move
    assert STILL_OURS == "coalesce(e.status, '') = 'RUNNING' AND e.token = v.token"
    left = waiting.partition("def _leave_waiting(")[2].partition("\ndef ")[0]
    assert "coalesce(e.status, '') IN {sources}" in left
    assert "('PENDING')" in left
    assert "('PENDING', 'RETRYING')" in left
    assert (set(sources("SKIPPED")), set(sources("CANCELLED")) - {"RUNNING"}) == (
        {NEW, "PENDING"},
        set(WAITING),
    )
    assert {"SUCCESS", "FAILED"} <= {a.target for a in ARROWS if a.source == "RUNNING"}


def writes_state(path: str, text: str) -> list[str]:
    """Places that could change an execution's state: SQL, attribute, update() or create()."""
    return [
        f"{path}:{getattr(node, 'lineno', 0)}: {what}"
        for node in ast.walk(ast.parse(text))
        if (what := in_sql(node) or in_call(node) or in_assignment(node))
    ]


def in_sql(node: ast.AST) -> str:
    if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        return ""
    sql = " ".join(node.value.split())
    if re.search(r"UPDATE job_executions\b.*\bSET\b.*\bstatus\s*=", sql, re.IGNORECASE):
        return "SQL sets status"
    return "SQL inserts" if re.search(r"INSERT INTO job_executions\b", sql, re.IGNORECASE) else ""


def in_call(node: ast.AST) -> str:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return ""
    if not re.search(r"\bExecution\.objects|\bexecutions?\b", ast.unparse(node.func.value)):
        return ""
    names = {keyword.arg for keyword in node.keywords}
    if node.func.attr == "update" and names & {"status", "token", "attempt"}:
        return "update() of state"
    made = node.func.attr in ("create", "bulk_create", "bulk_update", "get_or_create")
    return f"{node.func.attr}()" if made else ""


def in_assignment(node: ast.AST) -> str:
    for target in node.targets if isinstance(node, ast.Assign) else ():
        if isinstance(target, ast.Attribute) and target.attr in ("status", "token"):
            name = ast.unparse(target.value)
            if name in ("execution", "self.execution", "row"):
                return f"{name}.{target.attr} is set"
    return ""


def test_one_package_writes_the_state_of_executions() -> None:
    others = [
        place
        for path, text in product_sources()
        if not path.startswith(WRITER)
        for place in writes_state(path, text)
    ]
    assert others == []


@pytest.mark.parametrize(
    "text",
    [
        'fetch("UPDATE job_executions SET status = %s")',
        'fetch("INSERT INTO job_executions (id) VALUES (1)")',
        'Execution.objects.filter(id=1).update(status="FAILED")',
        "Execution.objects.create(job=job)",
        'execution.status = "FAILED"',
    ],
)
def test_the_search_for_other_writers_would_find_one(text: str) -> None:
    assert writes_state("somewhere.py", text)


def test_the_writer_itself_is_found_by_the_search() -> None:
    found = {path for path, text in product_sources() if path.startswith(WRITER) and writes_state(path, text)}
    assert found >= {f"{WRITER}{name}.py" for name in ("completion", "occurrences", "takes", "waiting")}


def test_the_table_refuses_what_the_chart_does_not_know() -> None:
    names = {constraint.name for constraint in Execution._meta.constraints}
    assert {
        "job_executions_status",
        "job_executions_unique_occurrence",
        "job_executions_one_at_a_time",
        "job_executions_running_has_claim",
    } <= names
