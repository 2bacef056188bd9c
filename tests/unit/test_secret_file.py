"""The secrets of a development checkout."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

from scheduler_site.secret_file import NAMES, development_secrets

ROOT = Path(__file__).resolve().parents[2]


def test_the_secrets_are_made_once_and_kept_for_the_owner_only(tmp_path: Path) -> None:
    path = tmp_path / ".secrets.env"

    first = development_secrets(path)
    second = development_secrets(path)

    assert first == second
    assert all(len(first[name]) >= 32 for name in NAMES)
    assert len(set(first.values())) == len(NAMES)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == [".secrets.env"]


def test_a_file_that_lacks_one_secret_gets_it_and_keeps_the_other(tmp_path: Path) -> None:
    path = tmp_path / ".secrets.env"
    path.write_text(f"SECRET_KEY={'k' * 40}\n")

    found = development_secrets(path)

    assert found["SECRET_KEY"] == "k" * 40
    assert len(found["JWT_SECRET"]) >= 32
    assert development_secrets(path) == found


def test_processes_that_start_together_agree_on_the_secrets(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from scheduler_site.secret_file import development_secrets\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "print(sorted(development_secrets(Path(sys.argv[1])).items()))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / ".secrets.env")]
    starts = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    for process in starts:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in starts:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = {process.communicate(timeout=30)[0] for process in starts}

    assert len(answers) == 1
    assert "SECRET_KEY" in answers.pop()
    assert [entry.name for entry in tmp_path.iterdir()] == [".secrets.env"]
