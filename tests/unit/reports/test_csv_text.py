"""Values as CSV text: what a reader gets back, and what a spreadsheet must not run."""

from __future__ import annotations

import csv
import io
import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from reports.csv_text import cell, iso_time, line, stamp


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("", ""),
        ("plain", "plain"),
        ("a,b", '"a,b"'),
        ('say "hi"', '"say ""hi"""'),
        ("two\nlines", '"two\nlines"'),
        ("carriage\rreturn", '"carriage\rreturn"'),
        (" spaces ", " spaces "),
        (True, "true"),
        (7, "7"),
        (-7, "-7"),
        (0.5, "0.5"),
        (Decimal("-5.00"), "-5.00"),
        (Decimal("1E+3"), "1000"),
        (date(2025, 7, 18), "2025-07-18"),
        (datetime(2025, 7, 18, 1, 2, 3, tzinfo=UTC), "2025-07-18T01:02:03.000Z"),
        (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (["x", 1], "\"['x', 1]\""),
    ],
)
def test_a_value_becomes_a_cell(value: Any, text: str) -> None:
    assert cell(value) == text


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_text_that_a_spreadsheet_would_run_is_guarded(start: str) -> None:
    text = f"{start}cmd|'/C calc'!A0"

    (row,) = csv.reader(io.StringIO(line([text]), newline=""))

    assert row == ["'" + text]


def test_text_is_guarded_whatever_type_it_was() -> None:
    assert cell(["=1"]) == "['=1']"
    assert cell(ValueError("=1")) == "'=1"


@pytest.mark.parametrize(
    "row",
    [
        ["a", "b"],
        ["", ""],
        [""],
        ['"', '""', ",", "\n", "a\r\nb", "a\rb", " "],
        ["\u202egpj.exe", "Ünïcode", "日本", "\U0001f600"],
        ["'already quoted", '"already" quoted'],
    ],
)
def test_the_csv_module_reads_back_what_was_written(row: list[str]) -> None:
    assert list(csv.reader(io.StringIO(line(row), newline=""))) == [row]


def test_every_line_ends_with_a_bare_newline() -> None:
    assert line(["a", "b"]) == "a,b\n"


def test_a_time_is_written_in_utc_and_cut_to_milliseconds() -> None:
    moment = datetime(2025, 7, 18, 1, 30, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))

    assert iso_time(moment) == "2025-07-17T23:30:00.999Z"


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        cell(datetime(2025, 7, 18))


def test_a_stamp_is_fit_for_a_file_name() -> None:
    assert stamp(datetime(2025, 7, 20, 10, 18, 0, 150_000, tzinfo=UTC)) == "2025-07-20T10-18-00-150Z"
