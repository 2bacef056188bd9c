"""`manage.py apply_jobs FILE`: bring the jobs to what a file says, in one transaction."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import IntegrityError, transaction

from executions.operations.applying import Plan, Step, apply_plan, compare_file
from jobs import manifest
from jobs.audit import Actor
from jobs.yaml_lines import MAX_BYTES


class Command(BaseCommand):
    """Shows every difference before it does anything; a file with any problem changes nothing."""

    help = "Create, change and (with --prune) delete jobs so that they are as the file says."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="a YAML file of jobs, or - for the standard input")
        parser.add_argument(
            "--prune", action="store_true", help="delete the jobs of earlier files that it does not name"
        )
        parser.add_argument("--dry-run", action="store_true", help="show the differences and change nothing")
        parser.add_argument(
            "--adopt", action="store_true", help="take over jobs made elsewhere that have a name of the file"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        source = "stdin" if options["file"] == "-" else Path(options["file"]).name
        try:
            entries = manifest.read(read_text(options["file"]))
            with transaction.atomic():
                plan = compare_file(
                    entries, source=source, prune=options["prune"], adopt=options["adopt"], environ=os.environ
                )
                self._show(plan)
                # A dry run does it all and takes it back: so it finds what only the database refuses.
                apply_plan(plan, by=Actor(name=f"file:{source}"[:255], is_staff=True))
                if options["dry_run"]:
                    transaction.set_rollback(True)
        except manifest.ManifestError as error:
            raise CommandError(
                "\n".join(f"{options['file']}: {problem}" for problem in error.problems)
            ) from None
        except IntegrityError as error:
            raise CommandError(f"Somebody changed the same jobs meanwhile; try again ({error})") from error
        self.stdout.write(self._sum_up(plan, options["dry_run"]))

    def _show(self, plan: Plan) -> None:
        for text in plan.warnings:
            self.stderr.write(f"warning: {text}")
        for step in plan.steps:
            self._show_step(step)
        for job in plan.pruned:
            self.stdout.write(f"- delete {job.name}")

    def _show_step(self, step: Step) -> None:
        if step.kind == "keep":
            return
        self.stdout.write(f"{'+ create' if step.kind == 'create' else '~ change'} {step.entry.name}")
        if step.adopted:
            self.stdout.write(f"    origin: {step.adopted} -> file")
        for name, change in step.changes.items():
            elsewhere = "  (changed elsewhere since the last file)" if name in step.drifted else ""
            self.stdout.write(f"    {name}: {brief(change['old'])} -> {brief(change['new'])}{elsewhere}")

    def _sum_up(self, plan: Plan, dry_run: bool) -> str:
        kinds = [step.kind for step in plan.steps]
        counts = (
            f"{kinds.count('create')} created, {kinds.count('change')} changed, "
            f"{len(plan.pruned)} deleted, {kinds.count('keep')} unchanged"
        )
        return f"{counts} (dry run: nothing was changed)" if dry_run else counts


def read_text(name: str) -> str:
    """The text of a file, or of the standard input; raises CommandError where it cannot be read."""
    try:
        if name == "-":
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        return data.decode("utf-8-sig")
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{name} is not UTF-8 (byte {error.start})") from error


def brief(value: Any) -> str:
    """A value on one line, of a length that can be read."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 120 else f"{text[:117]}..."
