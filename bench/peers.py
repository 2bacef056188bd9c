"""Other schedulers, each in an environment of its own under .cache/, asked the same questions as ours.

The first use installs them (pip, npm), later ones find them. What cannot be had raises Unavailable.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import venv
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

CACHE = Path(__file__).resolve().parents[1] / ".cache" / "bench"
PYTHON_PEERS = (
    "celery[redis]",
    "django-celery-beat",
    "apscheduler<4",
    "sqlalchemy",
    "psycopg2-binary",
    "tzdata",
)
NODE_PEERS = ("fast-csv", "pg", "pg-query-stream")
LEAD = 100  # seconds that a peer gets to take 10,000 schedules in
GIVEN_UP = 60  # seconds after the moment at which a peer is counted as it stands

Crontabs = Sequence[tuple[str, str]]


class Unavailable(Exception):
    """The peer cannot be had on this machine; the message says why."""


def python() -> Path:
    """The interpreter of the environment with the Python peers."""
    place = CACHE / "python"
    if not (place / ".installed").exists():
        venv.create(place, with_pip=True, clear=True)
        _run([place / "bin/python", "-m", "pip", "-q", "install", *PYTHON_PEERS])
        (place / ".installed").touch()
    return place / "bin/python"


def node() -> Path:
    """The folder with the Node peers beside which a script finds them."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        raise Unavailable("there is no node with its npm")
    place = CACHE / "node"
    if not (place / ".installed").exists():
        place.mkdir(parents=True, exist_ok=True)
        _run(["npm", "install", "--prefix", place, "--no-audit", "--no-fund", "--silent", *NODE_PEERS])
        (place / ".installed").touch()
    return place


def _run(command: Sequence[str | Path]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"{Path(command[0]).name}: {(done.stderr or done.stdout).strip()[-300:]}")


def redis_url() -> str:
    """The broker for Celery. Raises Unavailable when nobody listens there."""
    import redis

    url = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/9")
    try:
        redis.Redis.from_url(url, socket_connect_timeout=2).ping()
    except redis.RedisError as error:
        raise Unavailable(f"no Redis at {url.rpartition('@')[2]}: {error}") from error
    return url


# Celery beat ----------------------------------------------------------------------------------------

BEAT_SETTINGS = """
import os
SECRET_KEY = "peer"
USE_TZ = True
TIME_ZONE = "UTC"
INSTALLED_APPS = ["django.contrib.contenttypes", "django_celery_beat"]
NAME = os.environ["PEER_FOLDER"] + "/beat.sqlite3"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": NAME}}
"""
BEAT_APP = """
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "beat_settings")
from celery import Celery
app = Celery("peer", broker=os.environ["PEER_REDIS"])
app.conf.update(
    beat_scheduler="django_celery_beat.schedulers:DatabaseScheduler",
    task_default_queue=os.environ["PEER_QUEUE"],
)
"""
BEAT_FILL = """
import json, os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "beat_settings"
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django_celery_beat.models import CrontabSchedule, PeriodicTask, PeriodicTasks
schedules, tasks = {}, []
for number, (cron, zone) in enumerate(json.load(sys.stdin)):
    if (cron, zone) not in schedules:
        minute, hour, day, month, weekday = cron.split()
        schedules[cron, zone] = CrontabSchedule.objects.create(
            minute=minute, hour=hour, day_of_month=day, month_of_year=month,
            day_of_week="*" if "-" in weekday else weekday.lower(), timezone=zone)
    tasks.append(PeriodicTask(name=f"herd-{number}", task="noop", crontab=schedules[cron, zone]))
PeriodicTask.objects.bulk_create(tasks)
PeriodicTasks.update_changed()
"""


def celery_beat(crontabs: Crontabs, moment: datetime, address: str) -> tuple[int, float]:
    """How many messages beat had sent by GIVEN_UP after the moment, and when the last of them came."""
    import redis

    folder = _folder("beat")
    for name, text in (("beat_settings", BEAT_SETTINGS), ("beat_app", BEAT_APP), ("fill", BEAT_FILL)):
        (folder / f"{name}.py").write_text(text)
    queue = f"bench-herd-{os.getpid()}"
    environment = os.environ | {"PEER_FOLDER": str(folder), "PEER_REDIS": redis_url(), "PEER_QUEUE": queue}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    told = json.dumps(list(crontabs))
    subprocess.run([python(), "fill.py"], cwd=folder, env=environment, input=told, text=True, check=True)
    broker = redis.Redis.from_url(environment["PEER_REDIS"])
    beat = subprocess.Popen(
        [python(), "-m", "celery", "-A", "beat_app", "beat", "-l", "ERROR", "--pidfile="],
        cwd=folder,
        env=environment,
    )
    try:
        return _count_until(lambda: int(broker.llen(queue)), len(crontabs), moment)
    finally:
        beat.terminate()
        beat.wait(60)
        broker.delete(queue)


def _folder(name: str) -> Path:
    place = CACHE / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    return place


def _count_until(count: Callable[[], int], wanted: int, moment: datetime) -> tuple[int, float]:
    """What `count` says at the end (all, or GIVEN_UP after the moment), and when it last rose."""
    seen, rose = count(), 0.0
    while (since := (datetime.now(UTC) - moment).total_seconds()) < GIVEN_UP and seen < wanted:
        if (now := count()) > seen:
            seen, rose = now, since
        time.sleep(0.02)
    return seen, rose


# APScheduler ----------------------------------------------------------------------------------------

APSCHEDULER = """
import json, os, sys, time, threading
from datetime import datetime, timezone
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

moment = datetime.fromisoformat(os.environ["PEER_MOMENT"])
lock, done, last = threading.Lock(), 0, 0.0

def noop():
    global done, last
    with lock:
        done += 1
        last = (datetime.now(timezone.utc) - moment).total_seconds()

scheduler = BackgroundScheduler(
    jobstores={"default": SQLAlchemyJobStore(url=os.environ["PEER_DATABASE"], tablename="peer_jobs")},
    executors={"default": ThreadPoolExecutor(20)},
    job_defaults={"misfire_grace_time": None, "coalesce": True},
    timezone="UTC",
)
scheduler.start(paused=True)
crontabs = json.load(sys.stdin)
for cron, zone in crontabs:
    scheduler.add_job("__main__:noop", CronTrigger.from_crontab(cron, timezone=zone))
if datetime.now(timezone.utc) > moment:
    sys.exit("the moment had passed before all jobs were added")
done = 0
scheduler.resume()
while done < len(crontabs) and (datetime.now(timezone.utc) - moment).total_seconds() < GIVEN_UP:
    time.sleep(0.05)
print(json.dumps([done, last]), flush=True)
os._exit(0)
"""


def apscheduler(crontabs: Crontabs, moment: datetime, address: str) -> tuple[int, float]:
    """How many jobs APScheduler had called by GIVEN_UP after the moment, and when the last one was."""
    folder = _folder("apscheduler")
    (folder / "herd.py").write_text(APSCHEDULER.replace("GIVEN_UP", str(GIVEN_UP)))
    environment = os.environ | {
        "PEER_MOMENT": moment.isoformat(),
        "PEER_DATABASE": address.replace("postgresql://", "postgresql+psycopg2://"),
    }
    done = subprocess.run(
        [python(), "herd.py"],
        cwd=folder,
        env=environment,
        input=json.dumps(list(crontabs)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Unavailable(f"APScheduler: {done.stderr.strip()[-300:]}")
    count, last = json.loads(done.stdout.strip().splitlines()[-1])
    return count, last
