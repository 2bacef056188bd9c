"""The Celery app: `celery -A scheduler_site worker` runs what the scheduler rings for (ENGINE=celery)."""

from __future__ import annotations

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_site.settings")

import django
from django.conf import settings

django.setup()  # finds every app's handlers and duties

if settings.ENGINE != "celery":
    sys.exit("Bad setting ENGINE: it is local, so no scheduler rings for Celery workers; set ENGINE=celery")

from executions.broker import make_app  # noqa: E402 - Celery is an extra, and Django must be set up

app = make_app()
app.set_default()
