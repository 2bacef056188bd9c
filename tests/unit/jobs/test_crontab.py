"""Crontabs as cron reads them: what becomes a job, and what cannot."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import pytest

from jobs.importers import Candidate, cron_command, crontab
from jobs.importers.cron_command import split_percent, to_argv
from jobs.importers.crontab import SYSTEM, USER, find_form
from jobs.importers.host import Host, this_host


def read_crontab(text: str, *, user: str = "", home: str | None = "/", **options: Any) -> list[Candidate]:
    return crontab.read_crontab(text, host=Host(user=user, find_home=lambda name: home), **options)


def only(text: str, **options: Any) -> Candidate:
    found = read_crontab(text, **options)
    assert len(found) == 1
    return found[0]


def test_the_examples_of_the_module_hold() -> None:
    assert doctest.testmod(cron_command).failed == 0


def test_a_plain_line_becomes_a_program_with_arguments() -> None:
    one = only("# Back it all up\n30 2 * * 1-5\t/usr/bin/backup --full /srv\n")
    assert one.lost == ""
    assert (one.name, one.active, one.notes) == ("backup", True, [])
    assert one.columns["cron_expression"] == "30 2 * * 1-5"
    assert one.columns["payload"] == {"argv": ["/usr/bin/backup", "--full", "/srv"], "cwd": "/"}
    assert (one.columns["handler"], one.columns["description"]) == ("command", "Back it all up")
    # cron starts a job beside itself, and never makes up for what it missed
    assert (one.columns["overlap_policy"], one.columns["catch_up"]) == ("allow", "none")


@pytest.mark.parametrize(
    "command",
    [
        "cd /srv && ./run",
        "a | b",
        "echo $HOME",
        "a > /dev/null 2>&1",
        "ls *.txt",
        "echo 'a b'",
        "X=1 prog",
        "~/bin/x",
    ],
)
def test_a_line_for_the_shell_stays_one(command: str) -> None:
    assert only(f"0 0 * * * {command}").columns["payload"]["argv"] == ["/bin/sh", "-c", command]


def test_lines_above_hold_from_there_on() -> None:
    found = read_crontab('A=1\n0 0 * * * one\nA = "two words"\nB=\nSHELL=/bin/bash\n0 0 * * * echo $A\n')
    assert found[0].columns["payload"]["env"] == {"A": "1"}
    assert found[1].columns["payload"] == {
        "argv": ["/bin/bash", "-c", "echo $A"],
        "env": {"A": "two words", "B": ""},
        "cwd": "/",
    }


def test_crons_own_variables_mean_what_they_mean() -> None:
    one = only("MAILTO=ops@example.com\nCRON_TZ=Europe/Berlin\nRANDOM_DELAY=5\nTZ=UTC\n0 0 * * * x")
    assert one.columns["timezone"] == "Europe/Berlin"
    assert one.columns["jitter_seconds"] == 300
    assert any("RANDOM_DELAY=5 became jitterSeconds 300: each" in note for note in one.notes)
    assert one.columns["payload"]["env"] == {"TZ": "UTC"}
    assert any("ops@example.com" in note for note in one.notes)
    assert only('MAILTO=""\n0 0 * * * x').notes == []
    assert only("0 0 * * * x", zone="Asia/Tokyo").columns["timezone"] == "Asia/Tokyo"
    bad = only("CRON_TZ=Mars/Base\n0 0 * * * x")
    assert (bad.active, bad.columns["timezone"]) == (False, None)


@pytest.mark.parametrize(
    ("written", "command", "stdin"),
    [
        ("a%b%c", "a", "b\nc\n"),
        (r"date +\%Y-\%m", "date +%Y-%m", None),
        ("a%", "a", "\n"),
        (r"a \% b%c\%d", "a % b", "c%d\n"),
    ],
)
def test_the_percent_sign_begins_the_input(written: str, command: str, stdin: str | None) -> None:
    assert split_percent(written) == (command, stdin)


def test_a_system_crontab_names_a_user() -> None:
    text = "17 * * * *\troot    cd / && run-parts /etc/cron.hourly\n0 3 * * * backup  /usr/bin/dump\n"
    assert find_form(text, path="/etc/crontab") == SYSTEM
    assert find_form(text, path="/etc/cron.d/x") == SYSTEM
    assert find_form(text, known_users=["backup"]) == SYSTEM
    assert find_form("0 3 * * * /usr/bin/dump now", known_users=["backup"]) == USER
    assert find_form("0 3 * * * root", known_users=[]) == USER
    with pytest.raises(crontab.Ambiguous) as asked:  # it might be a program of that name
        find_form("0 3 * * * backup --full\n\n0 4 * * * /usr/bin/dump now\n", known_users=["backup"])
    assert (asked.value.named, asked.value.unnamed) == ([1], [3])
    first, second = read_crontab(text, form=SYSTEM, user="backup")
    assert first.columns["payload"]["argv"] == ["/bin/sh", "-c", "cd / && run-parts /etc/cron.hourly"]
    assert (first.active, first.name) == (False, "run-parts")
    assert "not as root" in first.notes[0]
    assert (second.active, second.notes) == (True, [])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("@reboot /usr/bin/start", "@reboot"),
        ("@fortnightly x", "not known"),
        ("0~30 * * * * x", "random"),
        ("61 * * * * x", "cannot be read"),
        ("0 0 30 2 * x", "cannot be read"),
        ("0 0 * *", "no job line"),
        ("@daily", "no job line"),
        ("hello world", "no job line"),
    ],
)
def test_what_cannot_be_carried_over_says_why(line: str, reason: str) -> None:
    assert reason in only(line).lost


def test_macros_and_the_suse_dash_are_read() -> None:
    assert only("@Daily x").columns["cron_expression"] == "@daily"
    assert only("-*/5 * * * * x").columns["cron_expression"] == "*/5 * * * *"
    assert read_crontab("\n  # only this\n\t\n") == []


def test_a_job_is_named_for_its_program_and_not_for_the_niceness() -> None:
    assert only("15 2 * * * nice -n 19 ionice -c 3 /usr/bin/slow").name == "slow"


def test_a_line_is_known_again_by_its_text() -> None:
    text = "0 0 * * * /a/run\n0 1 * * * /b/run\n"
    again = read_crontab("# moved down\n\n" + text)
    assert [one.key for one in again] == [one.key for one in read_crontab(text)]


def test_a_line_runs_in_the_home_of_its_user(tmp_path: Path) -> None:
    homes = {"me": "/", "backup": str(tmp_path)}
    host = Host(user="me", find_home=homes.get)
    text = "0 0 * * * backup /usr/bin/dump\n"
    mine = crontab.read_crontab("0 0 * * * /usr/bin/dump\n", host=host)[0]
    theirs = crontab.read_crontab(text, host=host, form=SYSTEM)[0]
    assert (mine.columns["payload"]["cwd"], mine.notes) == ("/", [])
    assert theirs.columns["payload"]["cwd"] == str(tmp_path)
    said = crontab.read_crontab(f"HOME=/usr\n{text}", host=host, form=SYSTEM)[0]
    assert said.columns["payload"]["cwd"] == "/usr"
    assert said.columns["payload"]["env"] == {"HOME": "/usr"}


@pytest.mark.parametrize("home", [None, "", "not/absolute"])
def test_a_line_without_a_home_waits_for_a_directory(home: str | None) -> None:
    one = only("0 0 * * * x", user="bob", home=home)
    assert (one.active, "cwd" in one.columns["payload"]) == (False, False)
    assert "the home of bob is not known here" in one.notes[0]


def test_a_line_whose_home_is_not_here_waits_for_it(tmp_path: Path) -> None:
    missing = str(tmp_path / "nobody")
    one = only("0 0 * * * x", home=missing)
    # It must not run somewhere else, so the directory stays in it.
    assert (one.active, one.columns["payload"]["cwd"]) == (False, missing)
    assert f"cron runs it in {missing}, which is not here" in one.notes[0]


def test_the_host_knows_homes_by_its_list_of_users(monkeypatch: pytest.MonkeyPatch) -> None:
    find_home = this_host().find_home
    assert (find_home("root"), find_home("no-such-user")) == ("/root", None)
    monkeypatch.setenv("HOME", "/somewhere")  # all that is known where a container's number has no name
    assert find_home("") == "/somewhere"


@pytest.mark.parametrize(
    ("schedule", "note"),
    [
        ("0 0 */2 * 1", "a step such as */2 counts as a restriction (other crons read it as 'and')"),
        ("0 0 1 * */2", "a step such as */2 counts as a restriction (other crons read it as 'and')"),
        ("0 0 * * 1/2", "other crons go on to Sunday"),
        # the same in every cron
        ("0 0 1 * 1", ""),
        ("0 0 */2 * *", ""),
        ("0 0 31 * *", ""),
        ("*/7 * * * *", ""),
        ("@monthly", ""),
    ],
)
def test_what_other_crons_read_otherwise_is_noted(schedule: str, note: str) -> None:
    notes = only(f"{schedule} x").notes
    assert len(notes) == bool(note)
    assert note in "".join(notes)


def test_a_delay_longer_than_an_hour_is_cut_to_one() -> None:
    one = only("RANDOM_DELAY=90\n0 0 * * * x")
    assert one.columns["jitter_seconds"] == 3600
    assert "the longest there is" in one.notes[0]
    assert only("RANDOM_DELAY=0\n0 0 * * * x").notes == []


def test_words_of_a_shell_are_not_taken_for_programs() -> None:
    assert to_argv("cd /srv", "/bin/sh") == ["/bin/sh", "-c", "cd /srv"]
    assert to_argv("umask 022", "/bin/sh") == ["/bin/sh", "-c", "umask 022"]
