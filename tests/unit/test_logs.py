"""Log lines: their shape, their files, and that no line is lost, torn or tells a secret."""

from __future__ import annotations

import json
import logging
import logging.config
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scheduler_site import logs
from scheduler_site.dated_files import SERIES, DatedFiles, remove_old
from scheduler_site.log_lines import JsonLines, ShortLines
from web import logcontext

ROOT = Path(__file__).resolve().parents[2]
NOON = datetime(2026, 1, 20, 12, 0, 0, 123_000, UTC)


def record(message: str = "hello", *args: object, **fields: Any) -> logging.LogRecord:
    level = fields.pop("level", logging.INFO)
    name = fields.pop("name", "jobs.operations")
    made = logging.LogRecord(name, level, __file__, 1, message, args, fields.pop("exc_info", None))
    made.created = fields.pop("at", NOON).timestamp()
    made.__dict__.update(fields)
    return made


@pytest.fixture
def files(tmp_path: Path) -> Iterator[DatedFiles]:
    handler = DatedFiles(tmp_path)
    handler.setFormatter(JsonLines())
    yield handler
    handler.close()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_json_line_has_the_promised_keys_first_and_extras_behind() -> None:
    with logcontext.bound(request_id="r-1", job_id="j-1", execution_id="e-1", attempt=2):
        text = JsonLines().format(record("took %d ms", 12, event="execution.ended", duration_ms=12))

    assert list(json.loads(text).items()) == [
        ("timestamp", "2026-01-20T12:00:00.123Z"),
        ("level", "INFO"),
        ("logger", "jobs.operations"),
        ("message", "took 12 ms"),
        ("event", "execution.ended"),
        ("requestId", "r-1"),
        ("jobId", "j-1"),
        ("executionId", "e-1"),
        ("attempt", 2),
        ("durationMs", 12),
    ]


def test_an_exception_is_part_of_its_line() -> None:
    try:
        raise ValueError("no such zone\npassword='hunter2-hunter2'")
    except ValueError:
        text = JsonLines().format(record("failed", exc_info=sys.exc_info()))

    assert "\n" not in text
    assert "ValueError: no such zone" in json.loads(text)["exc_info"]
    assert "hunter2" not in text


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), {("a",): 1}, object(), "\ud800", "\x00", date(2026, 1, 1), b"\xff"]
)
def test_any_extra_becomes_strict_json(value: object) -> None:
    def refuse(word: str) -> object:
        raise AssertionError(f"{word} is not JSON")

    text = JsonLines().format(record("odd", value=value))

    assert "value" in json.loads(text, parse_constant=refuse)


def test_secrets_are_in_no_part_of_a_line() -> None:
    canary = "hunter2-hunter2"
    made = record(
        "with Bearer %s", canary, headers={"X-Api-Key": canary}, url=f"redis://u:{canary}@h", note="n"
    )
    for formatter in (JsonLines(), ShortLines()):
        assert canary not in formatter.format(made)


def test_a_configured_secret_is_masked_even_in_plain_words() -> None:
    config = logs.configure(level="info", directory=None, as_json=True, secrets=["swordfish-swordfish", ""])
    formatter = JsonLines(config["formatters"]["json"]["known_secrets"])

    assert "swordfish" not in formatter.format(
        record("it says swordfish-swordfish", extra="swordfish-swordfish")
    )


def test_a_short_line_is_one_line_whatever_the_message_holds() -> None:
    text = ShortLines().format(record("first\nsecond\x1b[31m\u2028third", duration_ms=3))

    assert text == "12:00:00.123 INFO  jobs.operations: first\\nsecond\\x1b[31m\\u2028third  durationMs=3"


def test_a_record_goes_into_the_files_it_belongs_to(files: DatedFiles, tmp_path: Path) -> None:
    files.handle(record("a detail", level=logging.DEBUG))
    files.handle(record("it broke", level=logging.ERROR))
    files.handle(record("planned", name="executions.engine.planner"))
    with logcontext.bound(execution_id="e-1"):
        files.handle(record("ran"))

    found = {path.name: [line["message"] for line in lines(path)] for path in tmp_path.iterdir()}
    assert found == {
        "all-2026-01-20.log": ["a detail", "it broke", "planned", "ran"],
        "error-2026-01-20.log": ["it broke"],
        "combined-2026-01-20.log": ["it broke", "planned", "ran"],
        "executions-2026-01-20.log": ["ran"],
        "scheduler-2026-01-20.log": ["planned"],
    }


def test_a_new_day_has_new_files(files: DatedFiles, tmp_path: Path) -> None:
    files.handle(record("before", at=NOON.replace(hour=23, minute=59, second=59)))
    files.handle(record("after", at=NOON + timedelta(hours=12)))

    assert [line["message"] for line in lines(tmp_path / "all-2026-01-20.log")] == ["before"]
    assert [line["message"] for line in lines(tmp_path / "all-2026-01-21.log")] == ["after"]


def test_old_files_are_removed_by_age_and_foreign_ones_are_left(tmp_path: Path) -> None:
    errors = next(series for series in SERIES if series.name == "error")
    others = next(series for series in SERIES if series.name == "all")
    names = ("error-2025-12-21.log", "error-2025-12-20.log", "all-2026-01-06.log", "all-2026-01-05.log")
    for name in (*names, "all-notes.log", "error-2025-12-20.log.gz"):
        (tmp_path / name).touch()

    remove_old(tmp_path, errors, today=NOON.date())
    remove_old(tmp_path, others, today=NOON.date())

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "all-2026-01-06.log",
        "all-notes.log",
        "error-2025-12-20.log.gz",
        "error-2025-12-21.log",
    ]


def test_a_deleted_file_is_begun_again(files: DatedFiles, tmp_path: Path) -> None:
    path = tmp_path / "all-2026-01-20.log"
    files.handle(record("one"))
    path.unlink()
    files.handle(record("two"))

    assert [line["message"] for line in lines(path)] == ["two"]


def test_a_folder_that_refuses_files_is_complained_about_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = DatedFiles(tmp_path / "missing")
    handler.setFormatter(JsonLines())

    for _ in range(3):
        handler.handle(record())

    assert capsys.readouterr().err.count("Cannot write log files") == 1


def test_threads_and_processes_write_whole_lines_and_lose_none(tmp_path: Path) -> None:
    code = (
        "import logging, sys; from pathlib import Path\n"
        "from scheduler_site.dated_files import DatedFiles; from scheduler_site.log_lines import JsonLines\n"
        "handler = DatedFiles(Path(sys.argv[1])); handler.setFormatter(JsonLines())\n"
        "log = logging.getLogger('executions.engine.loop'); log.setLevel('INFO'); log.addHandler(handler)\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "for n in range(400): log.info('%s-%d', sys.argv[2], n, extra={'filler': 'x' * (n * 20)})\n"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), str(number)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for process in writers:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in writers:
        process.communicate("go\n", timeout=60)

    expected = {f"{number}-{n}" for number in range(4) for n in range(400)}
    for name in ("all", "combined", "scheduler"):
        found = [line["message"] for path in tmp_path.glob(f"{name}-*.log") for line in lines(path)]
        assert sorted(found) == sorted(expected)


def test_a_line_is_there_before_the_process_dies(tmp_path: Path) -> None:
    code = (
        "import logging, os, sys; from pathlib import Path\n"
        "from scheduler_site.dated_files import DatedFiles; from scheduler_site.log_lines import JsonLines\n"
        "handler = DatedFiles(Path(sys.argv[1])); handler.setFormatter(JsonLines())\n"
        "log = logging.getLogger('x'); log.addHandler(handler)\n"
        "log.error('last words'); os._exit(137)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=False, timeout=60)

    assert [line["message"] for line in lines(next(tmp_path.glob("error-*.log")))] == ["last words"]


def test_the_configuration_is_one_that_logging_accepts(tmp_path: Path) -> None:
    code = (
        "import logging.config; from pathlib import Path; from scheduler_site import logs; import sys\n"
        "for level in logs.LEVELS:\n"
        "    for as_json in (True, False):\n"
        "        logging.config.dictConfig(logs.configure(\n"
        "            level=level, directory=Path(sys.argv[1]), as_json=as_json, secrets=()))\n"
        "logging.getLogger('jobs.x').debug('seen')\n"
        "logging.getLogger('elsewhere').warning('seen too')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ},
    )

    assert "DEBUG jobs.x: seen" in done.stderr
    assert len(lines(next(tmp_path.glob("all-*.log")))) == 2


@pytest.mark.parametrize(
    ("level", "ours", "libraries"), [("info", "INFO", "WARNING"), ("verbose", "DEBUG", "DEBUG")]
)
def test_libraries_are_quiet_unless_everything_is_asked_for(level: str, ours: str, libraries: str) -> None:
    config = logs.configure(level=level, directory=None, as_json=False, secrets=())

    assert config["loggers"]["executions"]["level"] == ours
    assert config["root"]["level"] == libraries
    assert list(config["handlers"]) == ["console"]


def test_context_nests_and_ends_with_its_block() -> None:
    with logcontext.bound(request_id="r"):
        with logcontext.bound(job_id="j", attempt=None):
            assert logcontext.current() == {"requestId": "r", "jobId": "j"}
        assert logcontext.current() == {"requestId": "r"}
    assert logcontext.current() == {}


def test_context_of_one_thread_is_not_seen_in_another() -> None:
    seen: list[object] = []
    with logcontext.bound(job_id="j"):
        thread = threading.Thread(target=lambda: seen.append(dict(logcontext.current())))
        thread.start()
        thread.join()

    assert seen == [{}]
