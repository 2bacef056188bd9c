"""Progress of long work on a terminal; a log or a pipe gets the result alone."""

from __future__ import annotations

from rich.console import Console
from rich.progress import Progress, ProgressColumn


def on_terminal(*columns: ProgressColumn, transient: bool = False) -> Progress:
    """A progress display on standard error that draws nothing where that is no terminal."""
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=transient, disable=not console.is_terminal)
