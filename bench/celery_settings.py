"""The product's settings with the handlers of the measurement."""

from scheduler_site.settings import *  # noqa: F403
from scheduler_site.settings import INSTALLED_APPS as PRODUCT_APPS

INSTALLED_APPS = [*PRODUCT_APPS, "bench.spinner"]
