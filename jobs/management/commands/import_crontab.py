"""`manage.py import_crontab FILE`: the lines of a crontab as jobs with the handler `command`."""

from __future__ import annotations

import getpass
import pwd
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from jobs.audit import Actor
from jobs.importers import crontab
from jobs.management.commands.apply_jobs import read_text
from jobs.management.importing import save
from jobs.timing import check_zone


class Command(BaseCommand):
    """May be run again: lines that were imported before are known by their text.

    Exit code 1 when a line was left out; the others are imported.
    """

    help = "Import the lines of a system or user crontab; --dry-run tells what cannot be carried over."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="a crontab, or - for the standard input (crontab -l | …)")
        parser.add_argument(
            "--format",
            choices=("auto", crontab.SYSTEM, crontab.USER),
            default="auto",
            help="whether a user name stands before each command (system) or not (user)",
        )
        parser.add_argument("--timezone", help="the zone of its times, as Europe/Berlin; CRON_TZ in it wins")
        parser.add_argument("--inactive", action="store_true", help="import all of it switched off")
        parser.add_argument("--dry-run", action="store_true", help="only tell what would become of each line")

    def handle(self, *args: Any, **options: Any) -> None:
        zone = options["timezone"]
        if zone is not None:
            try:
                check_zone(zone)
            except ValueError as error:
                raise CommandError(f"--timezone {zone}: {error}") from error
        text = read_text(options["file"])
        path = "" if options["file"] == "-" else options["file"]
        form = _find_form(text, path) if options["format"] == "auto" else options["format"]
        found = crontab.read_crontab(text, form=form, zone=zone, user=_own_name())
        self.stdout.write(f"read as a {form} crontab, times in {zone or settings.SCHEDULER_TIMEZONE}")
        if found and "command" not in settings.ENABLED_HANDLERS:
            self.stderr.write("ENABLED_HANDLERS must name command, here and where the jobs shall run")
        by = Actor(name="import_crontab", is_staff=True)
        report = save(found, by=by, dry_run=options["dry_run"], inactive=options["inactive"])
        report.write(self.stdout, dry_run=options["dry_run"])
        if report.lost:
            sys.exit(1)


def _find_form(text: str, path: str) -> str:
    try:
        return crontab.find_form(text, path=path, known_users=(one.pw_name for one in pwd.getpwall()))
    except crontab.Ambiguous:
        raise CommandError(
            "Some lines have the name of a user before the command and some have not:"
            " say --format system or --format user"
        ) from None


def _own_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""  # a container may run under a number that has no name
