"""An engine that runs beside the test, in a thread of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from executions.engine.config import read_config
from executions.engine.loop import Engine


@contextmanager
def running(**options: Any) -> Iterator[Engine]:
    """A process of one engine until the block ends; then it has drained and given its connection back."""
    engine = Engine(read_config(**options))

    def serve() -> None:
        try:
            engine.run()
        finally:
            connection.close()

    thread = threading.Thread(target=serve, name="engine", daemon=True)
    thread.start()
    try:
        yield engine
    finally:
        engine.stop()
        thread.join(30)
        assert not thread.is_alive(), "the engine did not end"


def wait_for(condition: Any, seconds: float = 20.0) -> bool:
    """Ask until it is so; the pause between two questions decides nothing."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if condition():
            return True
        pause.wait(0.02)
    return False
