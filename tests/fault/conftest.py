"""Worlds to break, and the table of what came of it at the end of the run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import postgres
from tests.brokers import engine_broker
from tests.fault.cases import case_of, place_of
from tests.fault.database import Cluster, Files
from tests.fault.proxy import Proxy
from tests.fault.world import World

# What a row of the table says, and how wide.
COLUMNS = {
    "database": 10, "seed": 6, "schedulers": 10, "faults": 6, "executions": 10, "lost": 4, "doubled": 7, "stuck": 5,
    "extra calls": 11, "in flight": 9, "stale writes": 12, "recovery/bound": 14, "void": 4,
}  # fmt: skip


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL that tests may crash; skipped where there is none."""
    try:
        made = Cluster()
    except postgres.Unavailable as error:
        if os.environ.get("CI"):
            pytest.fail(f"no PostgreSQL: {error}")
        pytest.skip(f"no PostgreSQL: {error}")
    yield made
    made.remove()


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Migrated SQLite files."""
    return Files(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture
def seed() -> int:
    """What every random choice of a test comes from; FAULT_SEED repeats a run."""
    return int(os.environ.get("FAULT_SEED") or time.time_ns() % 1_000_000)


@pytest.fixture
def make_world(request: pytest.FixtureRequest, tmp_path: Path, seed: int) -> Iterator[Callable[..., World]]:
    """Make a world on a kind of database, with Celery's workers where a broker is named or FAULT_ENGINE=celery.

    Whatever runs in it is gone after the test.
    """
    made: list[tuple[World, Cluster | None]] = []

    def make(kind: str, broker: str = "") -> World:
        folder = tmp_path / f"world-{len(made)}"
        folder.mkdir()
        cluster: Cluster | None = None
        if kind == "postgresql":
            cluster = request.getfixturevalue("cluster")
            database = cluster.create()
        else:
            database = request.getfixturevalue("files").create(folder)
        kind_of_broker = broker or engine_broker()
        found = request.getfixturevalue("find_broker")(kind_of_broker) if kind_of_broker else None
        if found is not None:
            found.flush()
        world = World(database, folder, seed=seed, broker=found)
        made.append((world, cluster))
        return world

    yield make
    for world, cluster in made:
        world.close()
        if cluster is not None:
            cluster.drop(world.database)
        request.node.user_properties.append(("fault", world.notes))


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, make_world: Callable[[str], World]) -> World:
    """A world on each database."""
    return make_world(request.param)


@pytest.fixture
def shared_world(make_world: Callable[[str], World]) -> World:
    """A world on PostgreSQL, where several schedulers run."""
    return make_world("postgresql")


@pytest.fixture
def proxied_world(shared_world: World, cluster: Cluster) -> Iterator[tuple[World, Proxy]]:
    """A world whose processes reach PostgreSQL through a proxy."""
    proxy = Proxy("127.0.0.1", cluster.server.port, seed=shared_world.seed)
    shared_world.url = proxy.url(shared_world.database.url)
    yield shared_world, proxy
    proxy.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that the rest fits beside it.

    FAULT_ENGINE=celery: only what is marked as the promise of both engines.
    """
    items.sort(key=lambda item: item.get_closest_marker("first") is None)
    if not engine_broker():
        return
    left_out = [item for item in items if item.get_closest_marker("promise") is None]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item.get_closest_marker("promise") is not None]
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(300))  # a team takes its time to come up


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table: what was done to the worlds and what came of it, in the order of the cases."""
    found: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    for verdict, reports in terminalreporter.stats.items():
        for report in reports:
            test = getattr(report, "nodeid", "").rpartition("::")[2]
            if verdict in ("failed", "error"):
                failed[test] = "void" if "void:" in str(report.longrepr) else "FAILED"
            for name, notes in getattr(report, "user_properties", ()):
                if name == "fault":
                    found[test] = notes
    if not found:
        return
    write = terminalreporter.write_line
    terminalreporter.section("faults")
    cases = {test: case_of(test) for test in found}
    width = max(map(len, cases.values()))
    write(" | ".join([f"{'case':<{width}}", *(f"{name:>{wide}}" for name, wide in COLUMNS.items())]))
    for test in sorted(found, key=place_of):
        cells = _cells(found[test], failed.get(test, ""))
        row = " | ".join(
            [f"{cases[test]:<{width}}", *(f"{cells[name]:>{wide}}" for name, wide in COLUMNS.items())]
        )
        write(row + ("  FAILED" if test in failed else ""))
    seed = os.environ.get("FAULT_SEED") or "each its own, as shown; FAULT_SEED=… repeats one"
    write(f"{len(found)} runs, {len(failed)} failed; executions {_sum(found, 'executions')}, seed: {seed}")


def _cells(notes: dict[str, Any], failure: str) -> dict[str, str]:
    recovery, bound = notes.get("recovery s"), notes.get("bound s")
    shown = "" if recovery is None else f"{recovery}" if bound is None else f"{recovery}/{bound}"
    texts = {name: str(notes.get(name, "")) for name in COLUMNS}
    return texts | {"recovery/bound": shown, "void": "VOID" if failure == "void" else "no"}


def _sum(found: dict[str, dict[str, Any]], name: str) -> int:
    return sum(int(notes.get(name) or 0) for notes in found.values())
