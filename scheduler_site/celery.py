"""The Celery app: `celery -A scheduler_site worker` runs what the scheduler rings for (ENGINE=celery)."""

from __future__ import annotations

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_site.settings")

import django
from django.conf import settings

from scheduler_site.environment import EXIT_BAD_SETTING

django.setup()  # finds every app's handlers and duties

if settings.ENGINE != "celery":
    print(
        "Bad setting ENGINE: a Celery worker needs ENGINE=celery, here and for the scheduler", file=sys.stderr
    )
    sys.exit(EXIT_BAD_SETTING)

from executions.broker import make_app  # noqa: E402 - Celery is an extra, and Django must be set up

app = make_app()
app.set_default()
