"""What a container does before it serves: wait for the database, migrate it once, drop nothing."""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from tests import postgres
from tests.fault.database import Database

ROOT = Path(__file__).resolve().parents[2]


def start(database_url: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Start `manage.py` on this database."""
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database_url, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_of_several_containers_one_migrates_and_the_others_wait(database_url: str) -> None:
    starts = [start(database_url, "prepare_database") for _ in range(3)]
    answers = [process.communicate(timeout=100) for process in starts]

    assert [process.returncode for process in starts] == [0, 0, 0], answers
    assert sum(out.count("Applying accounts.0001_initial") for out, _ in answers) == 1
    assert [err for _, err in answers] == ["", "", ""]


def test_a_second_start_keeps_what_is_there(database_url: str) -> None:
    def manage(*arguments: str) -> str:
        process = start(database_url, *arguments)
        out, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
        return out

    manage("prepare_database")
    manage("shell", "-c", "from accounts.models import User; User.objects.create_user('a@example.com')")
    manage("prepare_database")

    counted = manage("shell", "-v0", "-c", "from accounts.models import User; print(User.objects.count())")
    assert counted.strip() == "1"


def test_a_database_that_never_answers_is_told_in_one_line_without_the_password() -> None:
    url = f"postgresql://someone:hunter2hunter2@127.0.0.1:{postgres.free_port()}/name"
    process = start(url, "prepare_database", "--wait", "0.2")
    _, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert err.splitlines()[-1].startswith(
        "CommandError: The database does not answer after 0.2 s: connection"
    )
    assert "hunter2" not in err
    assert "Traceback" not in err


def test_it_waits_for_a_database_that_comes_up_later(postgres_url: str) -> None:
    target = postgres_url.rpartition("@")[2]
    host, _, port = target.partition("/")[0].partition(":")
    port = port or "5432"
    with socket.socket() as late:
        late.bind(("127.0.0.1", 0))
        url = postgres_url.replace(target, f"127.0.0.1:{late.getsockname()[1]}/postgres")
        process = start(url, "shell", "-c", WAIT_ONLY)
        assert process.stderr is not None
        assert process.stderr.readline() == "Waiting for the database …\n"
        late.listen()
        forward_one(late, (host, int(port)), until=process)

    assert process.returncode == 0, process.communicate()[1]


WAIT_ONLY = "from web.management.commands.prepare_database import Command; Command().wait(seconds=60)"


def forward_one(late: socket.socket, target: tuple[str, int], *, until: subprocess.Popen[str]) -> None:
    """Stand in for a server that has just come up: pass connections on to the real one."""
    late.settimeout(0.1)
    while until.poll() is None:
        try:
            client, _ = late.accept()
        except TimeoutError:
            continue
        with client, socket.create_connection(target) as server:
            relay(client, server)


def relay(one: socket.socket, other: socket.socket) -> None:
    with selectors.DefaultSelector() as ready:
        ready.register(one, selectors.EVENT_READ, other)
        ready.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in ready.select():
                data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                if not data:
                    return
                key.data.sendall(data)


@pytest.mark.parametrize("place", ["production", "test"])
def test_refreshing_the_data_is_refused_outside_development(place: str) -> None:
    with override_settings(APP_ENV=place), pytest.raises(CommandError, match="only in development"):
        call_command("refresh_database")


def test_refreshing_the_data_is_refused_while_a_scheduler_works(migrated_url: str) -> None:
    database = Database(migrated_url)
    database.insert("scheduler_metadata", [{"id": "scheduler-here", "status": "ACTIVE"}])
    process = start(migrated_url, "refresh_database", APP_ENV="development")
    _, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "scheduler-here" in err
    assert "Stop it first" in err
    assert database.one("SELECT count(*) FROM scheduler_metadata") == 1
