#!/usr/bin/env python
"""The command line of the scheduler: `manage.py help` lists the commands."""

import os
import sys


def main() -> None:
    """Run the command named by the arguments."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_site.settings")
    try:
        import django  # noqa: F401
    except ModuleNotFoundError:
        sys.exit(
            f"{sys.executable} has no Django. `make install` makes a Python that has:"
            f" .venv/bin/python {' '.join(sys.argv)}"
        )
    from scheduler_site import command_line

    command_line.run(sys.argv)


if __name__ == "__main__":
    main()
