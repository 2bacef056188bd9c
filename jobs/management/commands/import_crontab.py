"""`manage.py import_crontab FILE`: the lines of a crontab as jobs with the handler `command`."""

from __future__ import annotations

import pwd
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from jobs.audit import Actor
from jobs.importers import crontab
from jobs.importers.host import this_host
from jobs.management.commands.apply_jobs import read_text
from jobs.management.importing import save
from jobs.timing import check_zone

SHOWN_LINES = 3


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
        found = crontab.read_crontab(text, host=this_host(), form=form, zone=zone)
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
    except crontab.Ambiguous as error:
        raise CommandError(
            f"A known user stands before the command in {_say_lines(error.named)},"
            f" none in {_say_lines(error.unnamed)}: say --format system or --format user"
        ) from None


def _say_lines(numbers: list[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:SHOWN_LINES])
    more = f" and {len(numbers) - SHOWN_LINES} more" if len(numbers) > SHOWN_LINES else ""
    return f"{'line' if len(numbers) == 1 else 'lines'} {shown}{more}"
