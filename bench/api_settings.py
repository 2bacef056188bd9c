"""The product's settings with a second, plain API beside it, in the same server."""

from scheduler_site.settings import *  # noqa: F403

ROOT_URLCONF = "bench.plain_api"
API_RATE_LIMIT = "100000000/min"
