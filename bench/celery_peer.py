"""Celery beside us: in an environment of its own, with a broker of its own, on the same PostgreSQL.

The environment is made once under .cache/ and used again while the requirements are the same.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.postgres import free_port

CACHE = Path(__file__).resolve().parent.parent / ".cache"
REQUIREMENTS = ("celery[redis]==5.6.*", "sqlalchemy==2.*", "psycopg2-binary==2.9.*", "requests==2.*")
TASKS = """
import os, threading
import psycopg2, requests
from celery import Celery

app = Celery("peer", broker=os.environ["PEER_REDIS"], backend="db+" + os.environ["PEER_DATABASE"])
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=4, worker_hijack_root_logger=False)
own = threading.local()

def post(url, body):
    if not hasattr(own, "session"):
        own.session = requests.Session()
    answer = own.session.post(url, data=body, headers={"Content-Type": "application/json"}, timeout=30)
    answer.raise_for_status()
    return {"status": answer.status_code, "body": answer.text[:5000]}

@app.task(name="backend")
def backend(url, body):
    return post(url, body)

@app.task(name="insert", ignore_result=True)
def insert(url, body):
    answer = post(url, body)
    if not hasattr(own, "connection"):
        own.connection = psycopg2.connect(os.environ["PEER_STORE"])
        own.connection.autocommit = True
    with own.connection.cursor() as cursor:
        cursor.execute("insert into peer_calls (status, body) values (%(status)s, %(body)s)", answer)
"""
DRIVER = """
import os, sys, time
import psycopg2
import tasks
name, url, body, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
task = getattr(tasks, name)
connection = psycopg2.connect(os.environ["PEER_STORE"])
connection.autocommit = True
cursor = connection.cursor()
cursor.execute("drop table if exists celery_taskmeta, celery_tasksetmeta, peer_calls")
cursor.execute("create table peer_calls (id serial primary key, status int, body text,"
               " at timestamptz default now())")
DONE = {
    "backend": "select count(*) from celery_taskmeta where status = 'SUCCESS'",
    "insert": "select count(*) from peer_calls",
}[name]

def wait_for(number):
    done = -1
    while done < number:
        time.sleep(0.02)
        cursor.execute(DONE)
        (done,) = cursor.fetchone()

task.delay(url, body)
while True:
    try:
        wait_for(1)
        break
    except psycopg2.errors.UndefinedTable:
        pass
tasks.app.control.cancel_consumer("celery", reply=True, timeout=5)
for _ in range(count):
    task.delay(url, body)
started = time.perf_counter()
tasks.app.control.add_consumer("celery", reply=False)
wait_for(1 + count)
print(count / (time.perf_counter() - started))
"""
#: How a task keeps its result: by Celery's result backend, or by an INSERT of its own.
WAYS = ("backend", "insert")


def call(way: str, address: str, port: int, body: bytes, *, rows: int, slots: int) -> float:
    """Tasks a second: each makes the POST and has its result in PostgreSQL; all wait in the broker first."""
    python = str(environment())
    with tempfile.TemporaryDirectory() as name, broker() as redis:
        folder = Path(name)
        (folder / "tasks.py").write_text(TASKS)
        (folder / "driver.py").write_text(DRIVER)
        variables = {name: text for name, text in os.environ.items() if not name.startswith("DJANGO_")} | {
            "PEER_REDIS": redis,
            "PEER_STORE": address,
            "PEER_DATABASE": address.replace("postgresql://", "postgresql+psycopg2://"),
        }
        command = [python, "-m", "celery", "-q", "-A", "tasks", "worker", "-P", "threads", "-c", str(slots)]
        worker = subprocess.Popen(
            [*command, "-l", "ERROR"],
            cwd=folder,
            env=variables,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            driver = [python, "driver.py", way, f"http://127.0.0.1:{port}/ok", body.decode(), str(rows)]
            told = subprocess.run(
                driver, cwd=folder, env=variables, check=True, stdout=subprocess.PIPE, text=True
            )
        finally:
            worker.terminate()
            worker.wait()
    return float(told.stdout)


def environment() -> Path:
    """The Python of an environment that has Celery; made when it is missing."""
    mark = hashlib.sha256(repr((sys.version, REQUIREMENTS)).encode()).hexdigest()[:12]
    home = CACHE / f"celery-{mark}"
    python = home / "bin" / "python"
    ready = home / "ready"
    if not ready.exists():
        shutil.rmtree(home, ignore_errors=True)
        venv.create(home, with_pip=True)
        subprocess.run([python, "-m", "pip", "-q", "install", *REQUIREMENTS], check=True)
        ready.touch()
    return python


@contextmanager
def broker() -> Iterator[str]:
    """A Redis of its own where the program is installed, else the one that REDIS_URL names."""
    program = shutil.which("redis-server")
    if program is None:
        yield os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/9")
        return
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        time.sleep(0.5)  # it listens at once; Celery asks again where it does not yet
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait()
