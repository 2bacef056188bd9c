"""`manage.py export_jobs`: the jobs as a file that `apply_jobs` reads."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from collections import Counter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from jobs import documents, manifest
from jobs.covering import Cover, mask
from jobs.models import Job, JobState, Origin

ENDED = (JobState.CANCELLED, JobState.COMPLETED, JobState.FAILED)


class Command(BaseCommand):
    """Never writes a secret: `***` stands for it, or a reference to an environment variable."""

    help = "Write the jobs as YAML: to the standard output, or to a file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--output", metavar="FILE", help="write here instead")
        parser.add_argument(
            "--origin", action="append", choices=Origin.values, help="only jobs made there; may be repeated"
        )
        parser.add_argument(
            "--job", action="append", metavar="NAME", help="only jobs of this name; may be repeated"
        )
        parser.add_argument(
            "--secrets",
            choices=("mask", "env"),
            default="mask",
            help="what stands for a secret: *** keeps what is stored, env names a variable",
        )
        parser.add_argument("--schema", action="store_true", help="print the JSON Schema of the file instead")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["schema"]:
            self.stdout.write(manifest.SCHEMA_FILE.read_text(encoding="utf-8"), ending="")
            return
        jobs = self._select(options)
        variables: dict[str, None] = {}
        exported = []
        for job in jobs:
            cover: Cover = References(job.name, variables) if options["secrets"] == "env" else mask
            exported.append(documents.document_of(job, cover=cover))
        for name, count in Counter(document["name"] for document in exported).items():
            if count > 1:
                self.stderr.write(f"warning: {count} jobs are named {name}; in a file each name stands once")
        self._put(documents.write(exported), options["output"])
        for name in variables:
            self.stderr.write(f"set {name} in the environment of apply_jobs")

    def _select(self, options: dict[str, Any]) -> list[Job]:
        found = Job.objects.present().select_related("user").prefetch_related("tags").order_by("name", "id")
        if options["origin"]:
            found = found.filter(origin__in=options["origin"])
        if options["job"]:
            found = found.filter(name__in=options["job"])
            if missing := set(options["job"]) - {job.name for job in found}:
                raise CommandError(f"no job is named {sorted(missing)[0]}")
        ended = [job for job in found if job.state in ENDED]
        for job in ended:
            self.stderr.write(f"left out: {job.name} is {job.state}")
        return [job for job in found if job.state not in ENDED]

    def _put(self, text: str, output: str | None) -> None:
        if output is None:
            self.stdout.write(text, ending="")
            return
        try:
            Path(output).write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{output} cannot be written: {error.strerror}") from error


class References:
    """Names a variable for every secret of a job, and remembers the names."""

    def __init__(self, job: str, variables: dict[str, None]) -> None:
        self._job = job
        self._variables = variables

    def __call__(self, path: tuple[str, ...], value: Any) -> str:
        wanted = re.sub(r"[^A-Z0-9]+", "_", "_".join((self._job, *path[1:])).upper()).strip("_")
        name = wanted if wanted[:1].isalpha() else f"JOB_{wanted}"
        number = 2
        while name in self._variables:
            name, number = f"{wanted}_{number}", number + 1
        self._variables[name] = None
        return f"${{{name}}}"
