"""The table that every measurement prints, and the machine it was measured on."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Table:
    """Figures of one question. The ratio of a line is its figure to that of the line named `floor`."""

    question: str
    unit: str = "rows/s"
    lines: list[tuple[str, float, str]] = field(default_factory=list)

    def add(self, name: str, figure: float, note: str = "") -> None:
        self.lines.append((name, figure, note))

    def show(self, *, floor: str) -> None:
        """Print all lines with their ratio to the floor."""
        known = {name: figure for name, figure, _ in self.lines}
        width = max(len(name) for name in known)
        print(f"\n{self.question}\n{machine()}\n")
        for name, figure, note in self.lines:
            ratio = figure / known[floor]
            print(f"  {name:<{width}}  {figure:>12,.0f} {self.unit}  {ratio:>7.2f} x  {note}")


def machine() -> str:
    """The machine in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}"
    )


class Memory:
    """The growth of this process's memory over a block, at its peak, in MiB."""

    grown = 0.0

    def __enter__(self) -> Memory:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        self._before = _status("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        self.grown = (_status("VmHWM") - self._before) / 1024


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise LookupError(name)
