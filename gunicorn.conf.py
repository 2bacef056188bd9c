"""How gunicorn serves the web process; found by gunicorn itself in the folder it is started in.

WEB_HOST (127.0.0.1), WEB_CONCURRENCY (2 processes) and WEB_THREADS (4 each) may be set in the environment.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_site.settings")

from django.conf import settings
from gunicorn import util

from web import broken_requests

wsgi_app = "scheduler_site.wsgi:application"
bind = f"{os.environ.get('WEB_HOST', '127.0.0.1')}:{settings.PORT}"
worker_class = "gthread"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = int(os.environ.get("WEB_THREADS", "4"))
timeout = 60
graceful_timeout = settings.SHUTDOWN_TIMEOUT_SECONDS
keepalive = 5
# A worker proves that it lives by touching a file: in memory where there is such a place.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
logconfig_dict = settings.LOGGING
loglevel = {"warn": "warning", "verbose": "debug"}.get(settings.LOG_LEVEL, settings.LOG_LEVEL)
# Which proxies are believed is decided in one place, by TRUSTED_PROXIES in the application.
forwarded_allow_ips = ""
control_socket_disable = True


# gunicorn has no setting for what it answers to a request that it cannot read.
util.write_error = broken_requests.write_error

FIGURES = "PROMETHEUS_MULTIPROC_DIR"


def on_starting(server: Any) -> None:
    """Make the folder where the figures of all web processes of this host meet; it must exist before them."""
    if not os.environ.get(FIGURES):
        server.figures = os.environ[FIGURES] = tempfile.mkdtemp(prefix="scheduler-figures-")


def child_exit(_server: Any, worker: Any) -> None:
    """Take the gauges of a worker that ended out of the figures."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(server: Any) -> None:
    """Remove the folder of the figures, if it is ours."""
    if getattr(server, "figures", None):
        shutil.rmtree(server.figures, ignore_errors=True)
