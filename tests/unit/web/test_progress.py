"""Progress is drawn for people at a terminal; what reads a pipe gets the result alone."""

from __future__ import annotations

import pytest
from rich.progress import TextColumn

from web.progress import on_terminal


def show() -> None:
    with on_terminal(TextColumn("{task.completed} of {task.total}")) as progress:
        task = progress.add_task("jobs", total=3)
        progress.update(task, completed=3)
        progress.console.print("a line of its own")


def test_a_pipe_gets_no_bar(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    show()
    assert capfd.readouterr().err == "a line of its own\n"


def test_a_terminal_gets_one(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    show()
    assert "3 of 3" in capfd.readouterr().err
