"""The package can be used where there is no Django, and reads no clock."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import jobs.timing

FOLDER = Path(jobs.timing.__file__).parent


def test_importing_it_loads_no_django() -> None:
    code = (
        "import sys, jobs.timing; sys.exit(any(name.partition('.')[0] == 'django' for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=FOLDER.parent.parent, timeout=60)


def test_it_never_asks_for_the_time() -> None:
    for path in FOLDER.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        for call in (".now(", ".utcnow(", ".today(", "time.time(", "monotonic("):
            assert call not in text, f"{path.name} calls {call}"
