"""Lines of a crontab as jobs with the handler `command`. Rules as in Vixie cron and cronie."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from jobs.importers.candidate import Candidate
from jobs.importers.cron_command import name_program, split_percent, to_argv
from jobs.importers.host import Host, is_directory
from jobs.timing import check_cron, check_zone, cron_differences

SYSTEM, USER = "system", "user"
MAX_JITTER = 3600
_ASSIGNMENT = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z_][A-Za-z0-9_]*))\s*=\s*(.*?)\s*""", re.DOTALL)
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_USER_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}\$?")
_MACROS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
# Told to cron, not to the programs.
_CRONS_OWN = (
    "MAILTO",
    "MAILFROM",
    "CRON_TZ",
    "RANDOM_DELAY",
    "START_HOURS_RANGE",
    "CONTENT_TYPE",
    "CONTENT_TRANSFER_ENCODING",
)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One job line: its schedule, the user of a system crontab, and the command as written."""

    number: int
    text: str
    schedule: str
    user: str | None
    command: str


@dataclass(kw_only=True)
class _Context:
    """What the lines above say: it holds from there on."""

    environment: dict[str, str] = field(default_factory=dict)
    comment: str = ""

    def own(self, name: str) -> str:
        return self.environment.get(name, "")


class Ambiguous(Exception):
    """Some lines have a user's name before the command and some have none; one must be told which it is.

    `named` and `unnamed` are the numbers of the lines of each kind.
    """

    def __init__(self, named: list[int], unnamed: list[int]) -> None:
        super().__init__(named, unnamed)
        self.named = named
        self.unnamed = unnamed


def find_form(text: str, *, path: str = "", known_users: Iterable[str] = ()) -> str:
    """Whether this is a system crontab (a user name before each command) or a user's own.

    By its place where that tells, else by whether all lines or none have a known user name in the sixth
    field. Raises Ambiguous where only some have: a guess might run the name of a user as a program.
    """
    if path.startswith("/etc/cron.d/") or path == "/etc/crontab":
        return SYSTEM
    known = {"root", *known_users}
    named: list[int] = []
    unnamed: list[int] = []
    for number, raw in enumerate(text.splitlines(), start=1):
        parts = _split(raw)
        if parts is not None:
            words = parts[1].split(None, 1)
            (named if len(words) == 2 and words[0] in known else unnamed).append(number)
    if named and unnamed:
        raise Ambiguous(named, unnamed)
    return SYSTEM if named else USER


def read_crontab(text: str, *, host: Host, form: str = USER, zone: str | None = None) -> list[Candidate]:
    """Every line that runs something, as a job to be; several may be named for the same program.

    `form` is SYSTEM or USER, `zone` the zone its times are in (None: the scheduler's), `host` that of the
    scheduler. Lines that cannot be read are told as lost.
    """
    context, found = _Context(), []
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip(" \t\r")
        if not line or line.startswith("#"):
            context.comment = line.lstrip("# \t") if line else ""
            continue
        if _take_assignment(line, context):
            continue
        found.append(_candidate(number, line, context, form=form, zone=zone, host=host))
        context.comment = ""
    return found


def _take_assignment(line: str, context: _Context) -> bool:
    match = _ASSIGNMENT.fullmatch(line)
    if match is None:
        return False
    name = match[1] or match[2] or match[3]
    value = match[4]
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    context.environment[name] = value
    return True


def _split(line: str) -> tuple[str, str] | None:
    """A job line's schedule and the rest of it; None where it is no job line."""
    line = line.strip(" \t\r")
    if not line or line.startswith("#") or _ASSIGNMENT.fullmatch(line):
        return None
    # SUSE: no line in the system log for this job.
    line = line.removeprefix("-")
    count = 1 if line.startswith("@") else 5
    parts = line.split(None, count)
    return (" ".join(parts[:count]), parts[count]) if len(parts) > count else None


def _candidate(
    number: int, text: str, context: _Context, *, form: str, zone: str | None, host: Host
) -> Candidate:
    key = hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:16]
    found = Candidate(
        # By the text alone: the same line from a file, a copy of it or the standard input is the same job.
        key=f"crontab:{key}",
        origin=f"line {number}",
        name=f"line {number}",
    )
    parts = _split(text)
    if parts is None:
        found.lost = "is no job line: five fields or an @word, then a command"
        return found
    schedule, rest = parts
    runs_as = None
    if form == SYSTEM:
        words = rest.split(None, 1)
        if len(words) < 2 or not _USER_NAME.fullmatch(words[0]):
            found.lost = "has no user name before its command, as a system crontab must"
            return found
        runs_as, rest = words
    line = Line(number=number, text=text, schedule=schedule, user=runs_as, command=rest)
    found.name = name_program(line.command)
    found.lost = _find_loss(line)
    if not found.lost:
        _fill(found, line, context, zone=zone, host=host)
    return found


def _find_loss(line: Line) -> str:
    if line.schedule.startswith("@"):
        if line.schedule == "@reboot":
            return "@reboot has no counterpart: a service of the system is the place for it"
        if line.schedule.lower() not in _MACROS:
            return f"{line.schedule} is not known here"
        return ""
    if "~" in line.schedule:
        return "a random time (~) has no counterpart: choose one, and jitterSeconds"
    try:
        check_cron(line.schedule)
    except ValueError as error:
        return f"the schedule {line.schedule!r} cannot be read: {error}"
    return ""


def _fill(found: Candidate, line: Line, context: _Context, *, zone: str | None, host: Host) -> None:
    payload = _payload(found, line, context)
    payload |= _directory(found, context, find_home=host.find_home, user=line.user or host.user)
    found.columns = {
        "cron_expression": line.schedule.lower() if line.schedule.startswith("@") else line.schedule,
        "timezone": _zone(found, context, zone),
        "handler": "command",
        "payload": payload,
        "description": context.comment or None,
        "overlap_policy": "allow",
        "catch_up": "none",
        "jitter_seconds": _jitter(found, context),
    }
    found.notes += cron_differences(found.columns["cron_expression"])
    if line.user is not None and line.user != host.user:
        found.active = False
        found.notes.append(
            f"runs as {host.user or 'our own user'} here, not as {line.user}: resume it when that is right"
        )
    mail = context.environment.get("MAILTO")
    if mail:
        found.notes.append(f"no mail goes to {mail}: an alert of type EMAIL does that here")
    if context.own("START_HOURS_RANGE"):
        found.notes.append("START_HOURS_RANGE is anacron's and has no effect here")


def _payload(found: Candidate, line: Line, context: _Context) -> dict[str, Any]:
    command, stdin = split_percent(line.command)
    environment = {name: value for name, value in context.environment.items() if name not in _CRONS_OWN}
    if odd := [name for name in environment if not _PLAIN_NAME.fullmatch(name)]:
        found.notes.append(f"the variable {odd[0]!r} has a name that programs cannot be given")
    payload: dict[str, Any] = {"argv": to_argv(command, environment.pop("SHELL", "/bin/sh"))}
    if given := {name: value for name, value in environment.items() if _PLAIN_NAME.fullmatch(name)}:
        payload["env"] = given
    if stdin is not None:
        payload["stdin"] = stdin
    return payload


def _directory(
    found: Candidate, context: _Context, *, find_home: Callable[[str], str | None], user: str
) -> dict[str, str]:
    """cron runs a line in HOME: the crontab's, else its user's. Where that is not here, the job waits."""
    home = context.own("HOME") or find_home(user)
    if not home or not home.startswith("/"):
        found.active = False
        whose = f"of {user} " if user else ""
        found.notes.append(
            f"the home {whose}is not known here: say in payload.cwd where to run, then resume it"
        )
        return {}
    if not is_directory(home):
        found.active = False
        found.notes.append(
            f"cron runs it in {home}, which is not here: make it or change payload.cwd, then resume it"
        )
    return {"cwd": home}


def _zone(found: Candidate, context: _Context, zone: str | None) -> str | None:
    wanted = context.own("CRON_TZ")
    if not wanted:
        return zone
    try:
        check_zone(wanted)
    except ValueError as error:
        found.active = False
        found.notes.append(f"CRON_TZ={wanted} cannot be read ({error}): its times are in the default zone")
        return zone
    return wanted


def _jitter(found: Candidate, context: _Context) -> int:
    text = context.own("RANDOM_DELAY")
    if not text.isdecimal():
        return 0
    seconds = min(int(text) * 60, MAX_JITTER)
    if seconds:
        longest = ", the longest there is" if int(text) * 60 > seconds else ""
        found.notes.append(
            f"RANDOM_DELAY={text} became jitterSeconds {seconds}{longest}: each run waits up to that, anew"
        )
    return seconds
