"""A program and its group: output, limits, endings, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from executions.processes import Ended, NotFound, Stream, find_program, run_program

ENVIRONMENT = {"PATH": os.environ["PATH"]}


def run(
    *argv: str,
    deadline: float | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    lines: list[tuple[str, str]] | None = None,
    **options: Any,
) -> Ended:
    said = [] if lines is None else lines
    given = {"environment": ENVIRONMENT, "limit": 1000, **options}
    return run_program(
        [find_program(argv[0], ENVIRONMENT, None), *argv[1:]],
        deadline=deadline,
        should_stop=should_stop,
        say=lambda stream, line: said.append((stream, line)),
        **given,
    )


def script(text: str) -> tuple[str, str, str]:
    return ("sh", "-c", text)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(happened: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < ends_at, "it never happened"
        time.sleep(0.01)


def test_output_and_exit_code_are_told_apart_by_stream() -> None:
    lines: list[tuple[str, str]] = []
    ended = run(*script("echo one; echo two >&2; printf three; exit 3"), lines=lines)
    assert (ended.code, ended.words, ended.stopped) == (3, "exit code 3", "")
    assert (ended.stdout.text, ended.stderr.text) == ("one\nthree", "two\n")
    assert sorted(lines) == [("stderr", "two"), ("stdout", "one"), ("stdout", "three")]


def test_arguments_reach_the_program_as_they_are() -> None:
    hostile = ["$(echo no)", "; echo no", "a b", "'", '"', "*", "\n", "ü"]
    ended = run(sys.executable, "-c", "import sys; print(ascii(sys.argv[1:]))", *hostile)
    assert ended.stdout.text.strip() == ascii(hostile)


def test_a_signal_is_named() -> None:
    assert run(*script("kill -SEGV $$")).words == "signal SIGSEGV"
    assert run(*script("kill -KILL $$")).words == "signal SIGKILL"


def test_only_the_given_environment_is_seen() -> None:
    os.environ["SECRET_OF_OURS"] = "do not show"
    try:
        seen = run("env", environment={"PATH": ENVIRONMENT["PATH"], "GIVEN": "yes"}).stdout.text
    finally:
        del os.environ["SECRET_OF_OURS"]
    names = {line.partition("=")[0] for line in seen.splitlines()}
    assert names <= {"PATH", "GIVEN", "PWD", "LC_CTYPE"}
    assert "GIVEN" in names


def test_standard_input_is_what_was_given_or_empty() -> None:
    assert run("cat", stdin="first\nsecond").stdout.text == "first\nsecond"
    assert run("cat").stdout.text == ""
    assert run("wc", "-c", stdin="x" * 1_000_000).stdout.text.strip() == "1000000"


def test_a_flood_is_read_to_its_end_and_kept_up_to_the_limit() -> None:
    ended = run(sys.executable, "-c", "print('x' * 99 + '\\n', end='') ; print('y' * 5_000_000)")
    assert ended.code == 0
    assert len(ended.stdout.kept) == 1000
    assert ended.stdout.truncated
    assert ended.stdout.length > 5_000_000
    assert len(ended.stdout.tail) == 2000


def test_the_deadline_ends_the_whole_group(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    started = time.monotonic()
    ended = run(
        *script(f"sleep 600 & echo $! > {note}; wait"),
        deadline=time.monotonic() + 0.5,
    )
    assert ended.stopped == "deadline"
    assert time.monotonic() - started < 20
    pid = int(note.read_text())
    wait_until(lambda: not is_alive(pid))


def test_one_that_ignores_the_polite_signal_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    stop = [False]

    def asked() -> bool:
        stop[0] = stop[0] or note.exists()
        return stop[0]

    ended = run(*script(f"trap '' TERM; echo $$ > {note}; while :; do sleep 1; done"), should_stop=asked)
    assert (ended.stopped, ended.words) == ("request", "signal SIGKILL")
    pid = int(note.read_text())
    wait_until(lambda: not is_alive(pid))


def test_a_polite_program_may_say_goodbye() -> None:
    lines: list[tuple[str, str]] = []
    ended = run(
        *script("trap 'echo goodbye; exit 0' TERM; echo ready; while :; do sleep 0.05; done"),
        should_stop=lambda: ("stdout", "ready") in lines,
        lines=lines,
    )
    assert (ended.stopped, ended.code) == ("request", 0)
    assert ("stdout", "goodbye") in lines


def test_what_a_finished_program_left_in_its_group_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    ended = run(*script(f"sleep 600 & echo $! > {note}; echo done"))
    assert (ended.code, ended.stdout.text) == (0, "done\n")
    pid = int(note.read_text())
    wait_until(lambda: not is_alive(pid))


def test_a_program_that_closes_its_output_runs_on_to_its_end() -> None:
    ended = run(*script("exec >&- 2>&-; sleep 0.3; exit 5"))
    assert ended.code == 5


@pytest.fixture
def note(tmp_path: Path) -> Path:
    return tmp_path / "pid"


def test_the_program_ends_when_the_scheduler_is_killed(note: Path) -> None:
    code = f"""
import os, sys
from executions.processes import run_program
run_program(["/bin/sh", "-c", "echo $$ > {note}; exec sleep 600"], environment=dict(os.environ), limit=10,
    deadline=None, should_stop=lambda: False, say=print)
"""
    scheduler = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).resolve().parents[3])
    try:
        wait_until(lambda: note.exists() and note.read_text().strip() != "")
        pid = int(note.read_text())
        assert is_alive(pid)
    finally:
        scheduler.send_signal(signal.SIGKILL)
        scheduler.wait()
    wait_until(lambda: not is_alive(pid))


def test_a_program_is_found_in_the_path_it_will_have(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho mine\n")
    with pytest.raises(NotFound, match="tool"):
        find_program("tool", {"PATH": str(tmp_path)}, None)  # not executable yet
    tool.chmod(0o755)
    assert find_program("tool", {"PATH": str(tmp_path)}, None) == str(tool)
    assert find_program("./tool", {}, str(tmp_path)) == str(tool)
    with pytest.raises(NotFound):
        find_program(str(tmp_path), {}, None)


def test_lines_are_cut_where_none_ends() -> None:
    stream = Stream(limit=10)
    assert stream.take(b"a\nb") == ["a"]
    assert stream.take(b"c\r\nd") == ["bc"]
    assert stream.end() == ["d"]
    assert stream.end() == []
    assert [len(line) for line in stream.take(b"x" * 10_000)] == [4096]
