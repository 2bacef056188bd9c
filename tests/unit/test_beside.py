"""Commands beside each other: together as long as the longest, each heard whole, and none forgotten."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BESIDE = [sys.executable, "-m", "tests.beside"]


def test_they_run_at_the_same_time_and_are_shown_after_one_another(tmp_path: Path) -> None:
    """Each waits for the other, so that one after the other would never end."""
    meet = "sh -c 'echo {0}; touch {0}; until [ -e {1} ]; do sleep 0.02; done; echo {0}'"
    here, there = tmp_path / "here", tmp_path / "there"
    done = subprocess.run(
        [*BESIDE, meet.format(here, there), meet.format(there, here)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert done.stdout.split() == [str(here)] * 2 + [str(there)] * 2


@pytest.mark.parametrize("commands", [["true", "sh -c 'exit 3'"], ["sh -c 'exit 3'", "true"]])
def test_one_that_fails_makes_the_whole_fail(commands: list[str]) -> None:
    assert subprocess.run([*BESIDE, *commands], cwd=ROOT, timeout=60, check=False).returncode == 3


def test_variables_may_stand_before_a_command() -> None:
    done = subprocess.run(
        [*BESIDE, "GREETING=hello sh -c 'echo $GREETING'"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "hello\n"
