"""The pages of the documentation: every link leads somewhere, and the settings are those of the code."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")


def text_of(page: Path) -> str:
    """The page without its code."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors_of(page: Path) -> set[str]:
    """What a link may name behind the `#`: the headings, as GitHub and MkDocs spell them."""
    headings = re.findall(r"^#{1,6}\s+(.+?)\s*$", text_of(page), re.MULTILINE)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip()) for heading in headings}


def links(page: Path) -> Iterator[str]:
    """The links of a page that stay inside the repository."""
    for link in LINK.findall(re.sub(r"`[^`]*`", "", text_of(page))):
        if not re.match(r"[a-z][a-z0-9+.-]*:", link):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_inside_the_repository_leads_somewhere(page: Path) -> None:
    dead = []
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        known = anchors_of(target) if anchor and target.suffix == ".md" and target.exists() else {anchor}
        if not target.exists() or anchor not in known:
            dead.append(link)

    assert dead == []


def test_every_page_is_in_the_table_of_contents() -> None:
    text = re.sub(r"!!python/name:\S+", "''", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = set(re.findall(r"[\w/-]+\.md", str(yaml.safe_load(text)["nav"])))
    written = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}

    assert written - listed == {name for name in written if re.match(r"adr/\d", name)}
    assert listed - written == set()


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    shutil.copytree(DOCS, tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)

    done = subprocess.run(
        [str(Path(sys.executable).parent / "zensical"), "build", "--strict"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site" / "tutorial.html").exists()


def test_every_decision_is_in_the_list_of_decisions() -> None:
    decisions = {page.name for page in (DOCS / "adr").glob("[0-9]*.md")}

    assert decisions
    assert {link for link in links(DOCS / "adr" / "index.md") if link[0].isdigit()} == decisions


# Settings -------------------------------------------------------------------------------------------


def rows() -> dict[str, tuple[str, str]]:
    """The settings of the page: default and meaning by name."""
    found = {}
    for line in (DOCS / "settings.md").read_text(encoding="utf-8").splitlines():
        name, default, meaning = [cell.strip() for cell in line.split("|")[1:4]] if "|" in line else ("",) * 3
        if re.fullmatch(r"`[A-Z_]+`", name):
            found[name.strip("`")] = (default.strip("`"), meaning)
    return found


def reads() -> Iterator[ast.Call]:
    """Every call by which the code reads a setting: `env.whole("PORT", 8000, 1, 65535)`."""
    for name in ("settings.py", "database.py"):
        tree = ast.parse((ROOT / "scheduler_site" / name).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                owner, first = node.func.value, node.args[0]
                if isinstance(owner, ast.Name) and owner.id == "env" and isinstance(first, ast.Constant):
                    yield node


def names_in(call: ast.Call) -> set[str]:
    """The variables that a call reads, the other names of one among them."""
    words = {node.value for node in call.args if isinstance(node, ast.Constant)}
    return {word for word in words if isinstance(word, str) and re.fullmatch(r"[A-Z][A-Z0-9_]{3,}", word)}


def test_the_page_of_settings_names_every_setting_and_no_other() -> None:
    read = set().union(*(names_in(call) for call in reads()))
    gunicorn = set(re.findall(r"environ\.get\([\"'](WEB_\w+)", (ROOT / "gunicorn.conf.py").read_text()))
    listed = rows()
    # The other names of a setting stand in its row.
    said = set(listed) | {word for row in listed.values() for word in re.findall(r"`([A-Z_]{4,})`", row[1])}

    assert len(read) > 50
    assert (read | gunicorn) - said == set()
    assert set(listed) - read - gunicorn == {"SETTINGS_PROFILE"}


def test_the_page_of_settings_gives_the_defaults_of_the_example_file() -> None:
    example: dict[str, str] = {}
    for name, value in re.findall(r"^#?([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE):
        example.setdefault(name, value.strip())

    told = {name: default for name, (default, _) in rows().items() if name in example}

    assert len(told) > 50
    assert told == {name: example[name] for name in told}


def test_the_page_of_settings_gives_the_bounds_of_the_code() -> None:
    wrong = []
    for call in reads():
        if isinstance(call.func, ast.Attribute) and call.func.attr == "whole":
            name, _, low, high, *_ = (ast.literal_eval(argument) for argument in call.args)
            if not rows()[name][1].startswith(f"{low} to {high}"):
                wrong.append(f"{name}: {low} to {high}")

    assert wrong == []
