"""The one table of all measurements: what counts as reached, and where it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.__main__ import (
    BEGIN,
    END,
    FIGURES,
    HEADLINES,
    README,
    SHORT,
    one_table,
    pick_headlines,
    replace_block,
)
from bench.table import FINDINGS, Finding, Table, collect, percentile


def table_of(floor: float, ours: float) -> Table:
    table = Table("rows", unit="rows/s")
    table.add("floor", floor)
    table.add("ours", ours)
    return table


@pytest.mark.parametrize(("ours", "reached"), [(70.0, True), (69.0, False)])
def test_a_line_is_held_against_its_ratio_to_another(ours: float, reached: bool) -> None:
    table = table_of(100.0, ours)
    table.judge("ours", to="floor", at_least=0.7)
    (finding,) = table.findings
    assert (finding.ratio, finding.reach, finding.reached) == (ours / 100, "≥ 0.70", reached)
    assert finding.cells()[2] == "floor: 100 rows/s"


@pytest.mark.parametrize(("figure", "mark"), [(100.0, "yes"), (100.1, "**no**")])
def test_a_line_is_held_against_a_bound_of_its_own(figure: float, mark: str) -> None:
    table = Table("lateness", unit="ms")
    table.add("p99", figure)
    table.judge("p99", at_most=100)
    assert table.findings[0].cells()[3:6] == ["", "≤ 100 ms", mark]


def test_what_a_measurement_finds_reaches_the_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "findings"
    monkeypatch.setenv(FINDINGS, str(place))
    table = table_of(200.0, 50.0)
    table.show(floor="floor")
    assert "0.25 x" in capsys.readouterr().out
    text = one_table(collect(place))
    assert "| rows: ours | 50.0 rows/s | floor: 200 rows/s | 0.25 |  |  |" in text


def test_the_readme_shows_the_first_finding_of_each_headline_whatever_its_size() -> None:
    asked = "Claim p95 with 9,000 waiting, PostgreSQL: behind a paused queue"
    found = [
        Finding(question="Something else: of 5", figure="1"),
        *(Finding(question=asked, figure=figure, beside="nothing waits: 7 ms") for figure in "23"),
    ]
    text = one_table(pick_headlines(found), columns=SHORT)
    assert text.endswith(f"| --- | --- | --- | --- |\n| {asked} | 2 | nothing waits: 7 ms |  |")


def test_what_the_readme_shows_stands_in_the_figures_too() -> None:
    all_of_them = FIGURES.read_text()
    shown = [
        line for line in README.read_text().split(BEGIN)[1].split(END)[0].splitlines() if line[:2] == "| "
    ]
    assert len(shown) == 2 + len(HEADLINES)
    assert [line for line in shown[2:] if line.rstrip("|") not in all_of_them] == []


def test_the_table_replaces_only_what_stands_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    replace_block(page, "new")
    assert page.read_text() == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"


def test_a_page_without_the_marks_is_left_alone_aloud(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("nothing here\n")
    with pytest.raises(ValueError, match="lacks"):
        replace_block(page, "new")
    assert page.read_text() == "nothing here\n"


def test_a_percentile_is_one_of_the_figures() -> None:
    figures = [float(number) for number in range(1, 101)]
    assert (percentile(figures, 0.5), percentile(figures, 0.99), percentile(figures, 1.0)) == (51, 100, 100)
