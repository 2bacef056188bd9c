#!/usr/bin/env python
"""The command line of the scheduler: `manage.py help` lists the commands."""

import os
import signal
import sys


def main() -> None:
    """Run the command named by the arguments."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_site.settings")
    if sys.argv[1:2] == ["demo"]:  # open to its own machine; whatever is set by hand still wins
        os.environ.setdefault("SETTINGS_PROFILE", "demo")
    if sys.argv[1:2] == ["run_scheduler"]:  # asked to stop while it starts: there is nothing to give back yet
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os._exit(0))
    if sys.argv[1:2] == ["healthcheck"] and {"web", "scheduler"}.issuperset(sys.argv[2:]):
        from executions import healthcheck  # asked every few seconds: it needs no app

        sys.exit(healthcheck.main(sys.argv[2:]))

    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
