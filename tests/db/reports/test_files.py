"""Opening a report file: only what lies in the export folder, never through a link."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from reports.files import open_report
from reports.models import ReportFile

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def exports(settings: Any, tmp_path: Path) -> Path:
    folder = tmp_path / "exports"
    folder.mkdir()
    settings.EXPORT_DIRECTORY = folder
    return folder


def make_report(name: str) -> ReportFile:
    return ReportFile.objects.create(name=name, data_date=date(2025, 7, 19), rows=0, bytes=0, sha256="0" * 64)


def test_a_report_is_read_as_it_lies_there(exports: Path) -> None:
    (exports / "daily.csv").write_bytes(b"id\n1\n")

    with open_report(make_report("daily.csv")) as file:
        assert file.read() == b"id\n1\n"


def test_a_report_whose_file_is_gone_says_so() -> None:
    with pytest.raises(FileNotFoundError):
        open_report(make_report("daily.csv"))


@pytest.mark.parametrize("name", ["", ".", "..", "../secret.csv", "sub/x.csv", "/etc/passwd", "x" * 255])
def test_a_name_that_leaves_the_folder_is_not_opened(exports: Path, name: str) -> None:
    (exports.parent / "secret.csv").write_text("secret")
    (exports / "sub").mkdir()
    (exports / "sub" / "x.csv").write_text("secret")

    with pytest.raises(FileNotFoundError):
        open_report(make_report(name))


@pytest.mark.parametrize("name", ["nul\0.csv", "\ud800.csv", "absolute/../../secret"])
def test_a_name_that_is_no_file_name_is_not_opened(name: str) -> None:
    report = make_report("daily.csv")
    report.name = name

    with pytest.raises(FileNotFoundError):
        open_report(report)


def test_a_symbolic_link_is_not_followed(exports: Path) -> None:
    (exports.parent / "secret.csv").write_text("secret")
    (exports / "daily.csv").symlink_to(exports.parent / "secret.csv")

    with pytest.raises(FileNotFoundError):
        open_report(make_report("daily.csv"))


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_regular_file_is_not_opened(exports: Path, kind: str) -> None:
    if kind == "folder":
        (exports / "daily.csv").mkdir()
    else:
        os.mkfifo(exports / "daily.csv")

    with pytest.raises(FileNotFoundError):
        open_report(make_report("daily.csv"))


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_no_descriptor_stays_open(exports: Path) -> None:
    (exports / "folder").mkdir()
    (exports / "daily.csv").write_text("x")
    before = descriptors()

    for name in ("folder", "missing", "../x"):
        with pytest.raises(FileNotFoundError):
            open_report(make_report(name))
    open_report(make_report("daily.csv")).close()

    assert descriptors() == before


def test_without_the_folder_every_file_is_gone(exports: Path) -> None:
    exports.rmdir()

    with pytest.raises(FileNotFoundError):
        open_report(make_report("daily.csv"))
