"""The table that every measurement prints, and the lines of it that `make bench` collects."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

# Names a file that takes every finding as a line of JSON; `make bench` sets it.
FINDINGS = "BENCH_FINDINGS"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A figure beside its floor or peer, and what it was to reach (`reached` None: nothing was asked)."""

    question: str
    figure: str
    beside: str = ""
    ratio: float | None = None
    reach: str = ""
    reached: bool | None = None
    load: float = 0.0

    def cells(self) -> list[str]:
        """Its cells in the one table."""
        mark = {None: "", True: "yes", False: "**no**"}[self.reached]
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return [self.question, self.figure, self.beside, ratio, self.reach, mark, f"{self.load:.1f}"]


@dataclass
class Table:
    """Figures of one question, all in one unit."""

    question: str
    unit: str = "rows/s"
    lines: list[tuple[str, float, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def add(self, name: str, figure: float, note: str = "") -> None:
        """A line of the table."""
        self.lines.append((name, figure, note))

    def judge(
        self,
        name: str,
        *,
        to: str | None = None,
        at_least: float | None = None,
        at_most: float | None = None,
        note: str = "",
    ) -> None:
        """Hold a line against a bound: its ratio to the line `to`, or the figure itself."""
        known = self._known()
        ratio = known[name] / known[to] if to else None
        measured = known[name] if ratio is None else ratio
        bounds = [("≥", at_least), ("≤", at_most)]
        asked = [f"{sign} {_number(bound)}" for sign, bound in bounds if bound is not None]
        unit = "" if to else f" {self.unit}"
        self.findings.append(
            Finding(
                question=f"{self.question}: {name}",
                figure=self._text(name),
                beside=f"{to}: {self._text(to)}" if to else "",
                ratio=ratio,
                reach=" and ".join(asked) + (unit if asked else "") + (f" ({note})" if note else ""),
                reached=(at_least is None or measured >= at_least)
                and (at_most is None or measured <= at_most)
                if asked
                else None,
                load=load(),
            )
        )

    def show(self, *, floor: str | None = None) -> None:
        """Print all lines, with their ratio to the floor where there is one, and what was reached."""
        known = self._known()
        width = max(len(name) for name in known)
        print(f"\n{self.question}\n{machine()}, load {load():.1f}\n")
        for name, figure, note in self.lines:
            ratio = f"{figure / known[floor]:>7.2f} x" if floor and known[floor] else ""
            print(f"  {name:<{width}}  {_number(figure):>12} {self.unit}  {ratio}  {note}".rstrip())
        if floor and not self.findings:
            self._find_all(floor)
        for finding in self.findings:
            if finding.reached is not None:
                told = finding.figure if finding.ratio is None else f"{finding.ratio:.2f}"
                verdict = "reached" if finding.reached else "NOT REACHED"
                name = finding.question.removeprefix(self.question + ": ")
                print(f"  {verdict}: {name} {told}, {finding.reach}")
        publish(self.findings)

    def _find_all(self, floor: str) -> None:
        """Where nothing was judged: every line beside the floor, its note as what is to be reached."""
        for name, _, note in self.lines:
            if name != floor:
                self.judge(name, to=floor, note=note)

    def _known(self) -> dict[str, float]:
        return {name: figure for name, figure, _ in self.lines}

    def _text(self, name: str) -> str:
        return f"{_number(self._known()[name])} {self.unit}"


def publish(findings: list[Finding]) -> None:
    """Hand findings to `make bench`, if it is what runs."""
    place = os.environ.get(FINDINGS)
    if place:
        with Path(place).open("a") as file:
            file.writelines(json.dumps(asdict(finding)) + "\n" for finding in findings)


def collect(place: Path) -> list[Finding]:
    """The findings in a file that `publish` wrote."""
    lines = place.read_text().splitlines() if place.exists() else []
    return [Finding(**_loaded(line)) for line in lines]


def _loaded(line: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(line)
    return found


def _number(figure: float) -> str:
    """Three digits that count, or all before the point."""
    size = abs(figure)
    return f"{figure:,.0f}" if size >= 100 else f"{figure:.1f}" if size >= 10 else f"{figure:.2f}"


def machine() -> str:
    """The machine in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}"
    )


def load() -> float:
    """How many tasks wanted a processor in the last minute, ours included."""
    return os.getloadavg()[0]


def percentile(figures: list[float], share: float) -> float:
    """The figure that this share of all stays at or below."""
    ordered = sorted(figures)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(figures: list[float]) -> float:
    """The middle one."""
    return percentile(figures, 0.5)


class Memory:
    """The growth of this process's memory over a block, at its peak, in MiB."""

    grown = 0.0

    def __enter__(self) -> Memory:
        forget_peak(os.getpid())
        self._before = resident(os.getpid())
        return self

    def __exit__(self, *_: object) -> None:
        self.grown = peak(os.getpid()) - self._before


def resident(pid: int) -> float:
    """The memory of a process, in MiB."""
    return _status(pid, "VmRSS") / 1024


def peak(pid: int) -> float:
    """The most memory it had since `forget_peak`, in MiB."""
    return _status(pid, "VmHWM") / 1024


def forget_peak(pid: int) -> None:
    """Count the peak anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def cpu_seconds(pid: int) -> float:
    """What a process has used of the processors, in user and in system mode."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise LookupError(name)
