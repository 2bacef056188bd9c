"""`python -m tests.beside COMMAND…`: shell commands beside each other, for tests that wait more than they work.

What each says is shown when it has ended, whole and after one another. The exit code is 0 when all were well;
an interrupt ends all of them.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import IO


def run(commands: Sequence[str]) -> int:
    """Run them all to their end; answers the first exit code that is not 0."""
    started = [_start(command) for command in commands]
    try:
        return max((_show(process, said) for process, said in started), key=bool)
    finally:
        for process, _ in started:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process, _ in started:
            process.wait()


def _start(command: str) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    said = tempfile.TemporaryFile()  # noqa: SIM115 - it is read when the command has ended
    return subprocess.Popen(["sh", "-c", f"exec env {command}"], stdout=said, stderr=subprocess.STDOUT), said


def _show(process: subprocess.Popen[bytes], said: IO[bytes]) -> int:
    code = process.wait()
    said.seek(0)
    sys.stdout.buffer.write(said.read())
    sys.stdout.flush()
    return code


if __name__ == "__main__":
    try:
        sys.exit(run(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
