"""The product's settings with one app more: the target, whose handler writes down every call of it.

Only the processes that `tests.fault.processes` starts use it.
"""

from scheduler_site.settings import *  # noqa: F403
from scheduler_site.settings import INSTALLED_APPS as PRODUCT_APPS

INSTALLED_APPS = [*PRODUCT_APPS, "tests.fault.target"]
