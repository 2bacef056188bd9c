"""The product's Celery app with a short visibility time-out, so that a job can outlast it."""

import os

from scheduler_site.celery import app

app.conf.broker_transport_options |= {
    "visibility_timeout": int(os.environ["FAULT_VISIBILITY"]),
    "unacked_restore_limit": 100,
}
