"""The settings of a test run: those of the product, over an environment that no `.env` file can change.

TEST_DATABASE chooses the database (`sqlite` or `postgresql`; without it DATABASE_URL, else SQLite). Everything
is put into `os.environ`, so that the processes a test starts have the same environment; they run with the
product's own settings.
"""

import os
import secrets

from tests import postgres

os.environ["APP_ENV"] = "test"
os.environ["DJANGO_SETTINGS_MODULE"] = "scheduler_site.settings"
os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(48))
os.environ.setdefault("JWT_SECRET", secrets.token_urlsafe(48))
postgres.choose()

from scheduler_site.settings import *  # noqa: E402, F403
from scheduler_site.settings import DATABASES  # noqa: E402

DATABASES["default"]["TEST"] = postgres.test_database(DATABASES["default"])
# Hashing is slow on purpose; tests of the hasher ask for the real ones.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
