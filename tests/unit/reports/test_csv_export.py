"""The exporter: names, whole files or none, and errors an operator understands."""

from __future__ import annotations

import csv
import gzip
import hashlib
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from jobs.contract import HandlerError
from reports.csv_export import CsvFile, ExportError, export_csv

NOW = datetime(2025, 7, 20, 10, 18, 0, 150_000, tzinfo=UTC)
HEADERS = ("name", "note", "amount")
ROWS = [
    ("plain", "a,b", Decimal("1.50")),
    ('quoted "so"', "two\nlines", Decimal("-2.00")),
    ("=cmd|'/C calc'!A0", "", None),
]
READ_BACK = [
    ["plain", "a,b", "1.50"],
    ['quoted "so"', "two\nlines", "-2.00"],
    ["'=cmd|'/C calc'!A0", "", ""],
]


def export(directory: Path, rows: Any = ROWS, **options: Any) -> Path:
    given: dict[str, Any] = {"file_name": "people", "headers": HEADERS, "now": NOW, **options}
    return export_csv(rows, directory=directory, **given)


def read(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_the_file_is_read_back_as_it_was_given(tmp_path: Path) -> None:
    path = export(tmp_path)

    assert path == tmp_path / "people_2025-07-20T10-18-00-150Z.csv"
    assert read(path) == [list(HEADERS), *READ_BACK]


def test_no_rows_leave_a_header(tmp_path: Path) -> None:
    assert export(tmp_path, rows=[]).read_bytes() == b"name,note,amount\n"


def test_nothing_but_the_file_is_left(tmp_path: Path) -> None:
    path = export(tmp_path)

    assert list(tmp_path.iterdir()) == [path]


def test_without_a_timestamp_the_name_is_plain_and_the_file_is_replaced(tmp_path: Path) -> None:
    export(tmp_path, include_timestamp=False)
    path = export(tmp_path, rows=[], include_timestamp=False)

    assert path == tmp_path / "people.csv"
    assert read(path) == [list(HEADERS)]


def test_a_stamped_name_that_is_taken_moves_to_the_next_millisecond(tmp_path: Path) -> None:
    first, second, third = export(tmp_path), export(tmp_path, rows=[]), export(tmp_path)

    assert [first.name[-8:], second.name[-8:], third.name[-8:]] == ["150Z.csv", "151Z.csv", "152Z.csv"]
    assert read(first) == [list(HEADERS), *READ_BACK]


def test_a_file_system_without_links_keeps_files_apart_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)

    assert export(tmp_path) != export(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_stamp_needs_a_moment(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="now"):
        export(tmp_path, now=None)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../evil", "a/b", "/etc/x", "a\0b", "a\nb", ".hidden", "x" * 300]
)
def test_a_file_name_that_is_a_path_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a file name"):
        export(tmp_path, file_name=name)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_directory_is_made(tmp_path: Path) -> None:
    assert export(tmp_path / "new" / "exports").is_file()


def test_length_rows_and_hash_are_those_of_the_file(tmp_path: Path) -> None:
    with CsvFile("people", directory=tmp_path, stamped_at=NOW) as file:
        file.write_header(HEADERS)
        file.write_rows(ROWS * 700)
    content = file.written.path.read_bytes()

    assert file.written.rows == 2100
    assert file.written.bytes == len(content)
    assert file.written.sha256 == hashlib.sha256(content).hexdigest()


def test_a_compressed_file_holds_the_same_lines(tmp_path: Path) -> None:
    with CsvFile("people", directory=tmp_path, stamped_at=NOW, compress=True) as file:
        file.write_header(HEADERS)
        file.write_rows(ROWS)
    path, content = file.written.path, file.written.path.read_bytes()

    assert path.name == "people_2025-07-20T10-18-00-150Z.csv.gz"
    assert gzip.decompress(content) == export(tmp_path).read_bytes()
    assert file.written.bytes == len(content)
    assert file.written.sha256 == hashlib.sha256(content).hexdigest()


def test_an_error_half_way_leaves_no_file(tmp_path: Path) -> None:
    def rows() -> Iterator[tuple[str, str, int]]:
        yield ("a", "b", 1)
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError):
        export(tmp_path, rows=rows())
    assert list(tmp_path.iterdir()) == []


def test_an_error_half_way_keeps_the_file_that_was_there(tmp_path: Path) -> None:
    path = export(tmp_path, include_timestamp=False)

    with pytest.raises(ValueError, match="row 2 has 1 cells, the header has 3"):
        export(tmp_path, rows=[("a", "b", 1), ("a",)], include_timestamp=False)
    assert read(path) == [list(HEADERS), *READ_BACK]


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def rows() -> Iterator[tuple[str, str, int]]:
        for number in range(5000):
            seen.append([path.name for path in tmp_path.glob("*.csv")])
            yield ("a", "b", number)

    export(tmp_path, rows=rows())

    assert len(seen) == 5000
    assert all(names == [] for names in seen)


def test_a_directory_that_is_a_file_is_a_readable_error(tmp_path: Path) -> None:
    place = tmp_path / "exports"
    place.write_text("in the way")

    with pytest.raises(ExportError, match=r"Cannot write to the export directory .*exports: ") as caught:
        export(place)
    assert isinstance(caught.value, HandlerError)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_is_read_only_is_a_readable_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    with pytest.raises(ExportError, match="Permission denied"):
        export(tmp_path)


def test_a_full_disk_is_a_readable_error_and_leaves_nothing(tmp_path: Path) -> None:
    program = (
        "import resource, signal, sys; from pathlib import Path;"
        "from reports.csv_export import CsvFile, ExportError;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    with CsvFile('people', directory=Path(sys.argv[1]), stamped_at=None) as file:\n"
        "        file.write_rows([('x' * 50,)] * 10_000)\n"
        "except ExportError as error:\n"
        "    print(error)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.strip() == f"Cannot write people.csv in {tmp_path}: File too large"
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_after_a_day(tmp_path: Path) -> None:
    old, fresh = tmp_path / ".people.aa.part", tmp_path / ".people.bb.part"
    for path in (old, fresh):
        path.write_text("half")
    day_ago = old.stat().st_mtime - 25 * 60 * 60
    os.utime(old, (day_ago, day_ago))

    export(tmp_path)

    assert not old.exists()
    assert fresh.exists()


def test_memory_stays_flat_for_any_number_of_rows(tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        export(tmp_path, rows=(("name " * 20, "note " * 20, number) for number in range(50_000)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 2_000_000, f"{peak} bytes for a file of 10 MB"


def test_exports_side_by_side_never_share_a_file(tmp_path: Path) -> None:
    start = threading.Barrier(8)
    paths: list[Path] = []

    def work(number: int) -> None:
        start.wait()
        paths.append(export(tmp_path, rows=[(str(number), "", number)]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(read(path)[1][0] for path in paths) == [str(number) for number in range(8)]
